"""The providers service: the only room that leaves the building, with its dialects, vendors and credentials."""
