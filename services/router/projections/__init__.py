"""Folds of the log into the world that plans are compiled from."""
