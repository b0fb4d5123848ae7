"""Folds of the log into what this service needs."""
