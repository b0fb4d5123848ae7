"""HTTP in: the data plane in raw ASGI, the admin API in FastAPI."""
