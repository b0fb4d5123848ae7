"""Ollama's face: lines of JSON, streamed unless refused, from clients that may be unable to send a key.

Forms as in https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from typing import Final

import msgspec

from services.gateway.domain.errors import ApiError
from services.gateway.domain.faces.face import Face, Route, require, require_inputs, require_messages


def _error_body(error: ApiError, _: str) -> bytes:
    return msgspec.json.encode({"error": error.message})


def _error_event(error: ApiError, request_id: str, _: bytes) -> bytes:
    return _error_body(error, request_id) + b"\n"


OLLAMA: Final = Face(
    routes={
        "/api/chat": Route(dialect="ollama_chat", check=require_messages, streams="unless_refused"),
        "/api/generate": Route(dialect="ollama_generate", check=require("prompt"), streams="unless_refused"),
        "/api/embed": Route(dialect="ollama_embed", check=require_inputs, streams="never", vectors=True),
    },
    error_body=_error_body,
    error_event=_error_event,
    event_mark=b"\n",
    comment=b"",
    keyless=True,
)
