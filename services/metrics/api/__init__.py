"""HTTP in: the admin API of usage and requests, and Prometheus."""
