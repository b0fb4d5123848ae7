"""The faces that clients know: one module for each family of client dialects."""
