"""Cohere's chat and vectors, second version, the vendor's side."""
