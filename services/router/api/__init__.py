"""The router's part of the admin API."""
