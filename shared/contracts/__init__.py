"""What services say to each other: events, plans, frames, usage records, facts. Shapes only, no behaviour."""
