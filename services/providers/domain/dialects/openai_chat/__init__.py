"""OpenAI's chat completions: what clients ask in most, and most vendors answer."""
