"""OpenAI's face: chat, completions, embeddings, and the responses with their own last event.

Forms as in https://platform.openai.com/docs/api-reference and its errors guide.
"""

import re
from typing import Final

import msgspec

from services.gateway.domain.errors import ApiError
from services.gateway.domain.faces.face import Body, Face, Route, missing, require, require_inputs, require_messages

_SEQUENCE: Final = re.compile(rb'"sequence_number": ?(\d{1,9})')
_INPUTS: Final = ("input", "previous_response_id", "prompt", "conversation")
"""What a response may be made from: one of them must be there."""


def _require_response_input(body: Body) -> None:
    if all(body.get(name) is None for name in _INPUTS):
        raise missing("input")


def _error_body(error: ApiError, _: str) -> bytes:
    fields = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": fields})


def _error_event(error: ApiError, request_id: str, _: bytes) -> bytes:
    return b"data: " + _error_body(error, request_id) + b"\n\n"


def _response_error_event(error: ApiError, _: str, last: bytes) -> bytes:
    """Return an ``error`` event, numbered on from the last one that was sent."""
    seen = _SEQUENCE.findall(last)
    fields = {
        "type": "error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "sequence_number": int(seen[-1]) + 1 if seen else 0,
    }
    return b"event: error\ndata: " + msgspec.json.encode(fields) + b"\n\n"


OPENAI: Final = Face(
    routes={
        "/v1/chat/completions": Route(dialect="openai_chat", check=require_messages),
        "/v1/completions": Route(dialect="openai_completions", check=require("prompt")),
        "/v1/embeddings": Route(dialect="openai_embeddings", check=require_inputs, streams="never", vectors=True),
    },
    error_body=_error_body,
    error_event=_error_event,
)
RESPONSES: Final = Face(
    routes={"/v1/responses": Route(dialect="openai_responses", check=_require_response_input, continues=True)},
    error_body=_error_body,
    error_event=_response_error_event,
)
