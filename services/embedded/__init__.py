"""Everything in one process: the composition root of `localrouter up`, and the nats-server it keeps."""
