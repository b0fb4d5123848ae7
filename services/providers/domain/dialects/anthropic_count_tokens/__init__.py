"""Anthropic's counting of tokens."""
