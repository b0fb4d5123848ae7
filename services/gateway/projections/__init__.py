"""Folds of the log into what a request needs to be answered."""
