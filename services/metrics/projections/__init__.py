"""Folds of the usage log: pure, no clock, no I/O."""
