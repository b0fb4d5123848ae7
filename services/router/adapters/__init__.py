"""What the router writes: plans, facts, its metrics."""
