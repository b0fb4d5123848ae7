"""Pure values and rules of the gateway."""
