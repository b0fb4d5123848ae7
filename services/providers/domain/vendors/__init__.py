"""One small file of data per vendor."""
