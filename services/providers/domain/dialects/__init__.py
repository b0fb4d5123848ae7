"""One file of pure functions per dialect that a vendor speaks."""
