"""OpenAI's older completions: one prompt, one text."""
