"""OpenAI's embeddings: texts in, vectors out."""
