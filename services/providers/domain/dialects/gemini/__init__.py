"""Gemini's generateContent, embeddings and countTokens, the vendor's side."""
