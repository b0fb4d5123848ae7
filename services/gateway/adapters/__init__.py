"""I/O out: the journal, peppers, the other services."""
