"""The innermost ring: ids, clock, money, secrets, redaction, errors. Pure: no I/O, no clock, no randomness."""
