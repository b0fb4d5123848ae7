"""What a router is and how models are ranked: pure values and functions."""
