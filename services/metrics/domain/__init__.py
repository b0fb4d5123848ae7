"""Pure values of the metrics service: rows, counters, questions."""
