"""The public face: authenticates, limits, walks the plan, accounts."""
