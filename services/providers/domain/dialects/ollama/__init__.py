"""Ollama's own dialect, both sides: chat, generate and vectors, lines of JSON where they stream."""
