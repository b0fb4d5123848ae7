"""OpenAI's Responses: a conversation as items, answered by items. https://platform.openai.com/docs/api-reference/responses"""
