"""Decides where requests go: routers, strategies, plans."""
