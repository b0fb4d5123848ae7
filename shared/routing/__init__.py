"""The pure rules of routing: compile a plan, choose from it, what comes next after a failure."""
