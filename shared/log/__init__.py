"""The event log as a port, its implementations on NATS JetStream and in memory, and what is built on it."""
