"""Pure: what vendors are, what their dialects say, what a failure means. No I/O, no clock."""
