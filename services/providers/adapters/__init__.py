"""I/O out: vendors over HTTP, the built-in model, credentials, probes."""
