"""I/O out: the ledger's database, the access log's files, the consumer that feeds both."""
