"""The `localrouter` command: a client of the admin API."""
