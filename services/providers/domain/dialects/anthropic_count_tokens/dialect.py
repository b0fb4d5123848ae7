"""Anthropic's counting of a request's tokens: the client's side, and both at once.

https://platform.claude.com/docs/en/api/messages-count-tokens
"""

from typing import Final, cast

import msgspec

from services.providers.domain.canonical import Json
from services.providers.domain.dialect import CountClient, Native, Reader, malformed
from services.providers.domain.errors import UNREADABLE, error_in_answer, read_error
from services.providers.domain.usage import count
from shared.contracts.frames import Completion, Data, Frame, Tail

_NAME: Final = "anthropic_count_tokens"
_DECODE: Final = msgspec.json.Decoder().decode
_NOT_COUNTED: Final = ("models", "max_tokens", "stream")


def encode_answer(tokens: int, estimated: bool) -> bytes:
    """Return a count; an estimate says that it is one."""
    return msgspec.json.encode({"input_tokens": tokens, **({"estimated": True} if estimated else {})})


def request_body(request: Completion, quirks: frozenset[str]) -> Json:
    """Return the client's body with the vendor's model, without what a count does not take."""
    del quirks
    body = {**request.body, "model": request.native_id}
    for name in _NOT_COUNTED:
        body.pop(name, None)
    return body


def _reader(request: Completion) -> Reader:
    raise AssertionError(f"{request.dialect} never streams")


def read_whole(request: Completion, body: bytes) -> list[Frame]:
    """Read a count of status 200: its bytes and the tail, or the failure that it is. It costs nothing."""
    del request
    try:
        answer: object = _DECODE(body)
    except UNREADABLE:
        return [malformed("the vendor's count is not JSON")]
    if isinstance(answer, dict) and count(cast("Json", answer).get("input_tokens")) is not None:
        return [Data(body, content=True), Tail()]
    error = read_error(cast("object", answer))
    return [malformed("the vendor's answer holds no count") if error is None else error_in_answer(error)]


COUNT_CLIENT: Final = CountClient(name=_NAME, text="anthropic_messages", encode_answer=encode_answer)
NATIVE: Final = Native(
    name=_NAME,
    path="/messages/count_tokens",
    request_body=request_body,
    reader=_reader,
    whole=read_whole,
    headers=frozenset({"anthropic-beta", "anthropic-version"}),
)
