"""What a scripted vendor can be told to do with one attempt, as data, with a name for each known way to fail."""

from typing import Any, Literal

import msgspec

Fault = Literal["reset", "close", "end", "stall", "hold", "malformed", "half", "error"]
"""How an answer leaves the proper path, at the point that ``Behaviour.where`` names.

``reset`` sends RST; ``close`` closes without finishing; ``end`` finishes the HTTP body there, as if that were all;
``stall`` sends nothing more until the client leaves; ``hold`` waits for ``Upstream.release`` and goes on;
``malformed`` sends an event that is not JSON and goes on; ``half`` sends half of the next event and closes;
``error`` sends the dialect's error event and finishes the body.
"""

Where = Literal["before_headers", "before_events", "before_content", "mid_content", "before_end"]
"""``before_events`` is after headers and pings, ``before_content`` after the role too; ``mid_content`` is after
``Behaviour.after`` content events (of a whole answer: after half of its bytes); ``before_end`` is after finish reason
and usage, before ``[DONE]`` (Ollama: before the line with ``done``)."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A vendor's error, put into the form of the dialect that was asked."""

    message: str
    type: str = "server_error"
    code: str | None = None
    param: str | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call of the answer; ``arguments`` is JSON text."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the vendor does with one attempt; the default is a proper answer with honest usage."""

    text: str | None = None
    """The answer; None: an echo of the last user message."""
    events: int | None = None
    """How many content events a stream has; None: one per word."""
    reasoning: str | None = None
    """Text of reasoning, streamed before the content."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Any = msgspec.UNSET
    """The usage as claimed, whatever it is (of Ollama: its counters); None: left out; unset: counted honestly."""
    usage_in_each: bool = False
    """Whether every chunk of a stream claims the usage so far."""
    finish_reason: str = "stop"
    answered: str | None = None
    """The model that the answer names; None: the one asked for."""
    status: int = 200
    headers: dict[str, str] = {}
    error: ErrorBody | None = None
    """The body is this error (with ``fault="error"``: the error event is)."""
    body: str | None = None
    """Exactly this body, of a stream too."""
    content_type: str | None = None
    delay_ms: int = 0
    """Time before the status line."""
    first_token_ms: int = 0
    """Time between headers and the first event."""
    event_ms: int = 0
    """Time before each further event, pings included."""
    pings: int = 0
    """Comments (``: ping``) between headers and content; Ollama knows none and sends blank lines."""
    chunk_bytes: int | None = None
    """Send a body in pieces of this size, however the events lie."""
    fault: Fault | None = None
    where: Where = "mid_content"
    after: int = 1


def answer(text: str | None = None, **fields: Any) -> Behaviour:
    """Return a proper answer; ``fields`` are those of Behaviour."""
    return Behaviour(text=text, **fields)


def events(count: int, *, event_ms: int = 0) -> Behaviour:
    """Return an answer of ``count`` words, one event each."""
    return Behaviour(text=" ".join(f"w{index}" for index in range(count)), events=count, event_ms=event_ms)


def failure(
    status: int,
    message: str = "scripted failure",
    *,
    type: str = "server_error",  # noqa: A002  the field's name on the wire
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Behaviour:
    """Return an error answer in the dialect's form."""
    error = ErrorBody(message=message, type=type, code=code, param=param)
    return Behaviour(status=status, error=error, headers=headers or {})


def rate_limited(retry_after: str | None = "1", **headers: str) -> Behaviour:
    """Return a 429; ``retry_after`` is seconds or an HTTP date (None: no such header); ``headers`` with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if retry_after is not None:
        named["retry-after"] = retry_after
    return failure(429, "Rate limit reached for requests", type="requests", code="rate_limit_exceeded", headers=named)


def overloaded() -> Behaviour:
    """Return a 503."""
    return failure(503, "The server is overloaded", type="service_unavailable")


def server_error() -> Behaviour:
    """Return a 500."""
    return failure(500, "The server had an error while processing your request")


def unauthorized() -> Behaviour:
    """Return a 401."""
    return failure(401, "Incorrect API key provided", type="invalid_request_error", code="invalid_api_key")


def out_of_money(status: int = 402) -> Behaviour:
    """Return what vendors say when the account is empty: 402, or 429 with ``insufficient_quota``."""
    return failure(status, "You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")


def model_not_found() -> Behaviour:
    """Return a 404 for the model."""
    return failure(404, "The model does not exist", type="invalid_request_error", code="model_not_found", param="model")


def context_too_long() -> Behaviour:
    """Return a 400: the prompt does not fit."""
    message = "This model's maximum context length is 8192 tokens, however your messages resulted in 9000 tokens"
    kind = "invalid_request_error"
    return failure(400, message, type=kind, code="context_length_exceeded", param="messages")


def content_policy() -> Behaviour:
    """Return a 400: the vendor will not answer this."""
    message = "Your request was rejected as a result of our safety system"
    return failure(400, message, type="invalid_request_error", code="content_policy_violation")


def reset() -> Behaviour:
    """Reset the connection before a byte of the answer."""
    return Behaviour(fault="reset", where="before_headers")


def silence() -> Behaviour:
    """Take the request and say nothing."""
    return Behaviour(fault="stall", where="before_headers")


def slow_first_token(first_token_ms: int) -> Behaviour:
    """Send headers at once and the first event late."""
    return Behaviour(first_token_ms=first_token_ms)


def cut(after: int | None = 1, *, by: Literal["reset", "close", "half", "end"] = "close") -> Behaviour:
    """End the connection after ``after`` content events of an answer of ten; None: before content."""
    return _ten("before_content" if after is None else "mid_content", by, after or 0)


def stall(after: int | None = 1) -> Behaviour:
    """Go silent after ``after`` content events of an answer of ten; None: before content."""
    return _ten("before_content" if after is None else "mid_content", "stall", after or 0)


def hold(after: int = 1) -> Behaviour:
    """Wait after ``after`` content events of an answer of ten for ``Upstream.release``, then go on."""
    return _ten("mid_content", "hold", after)


def malformed(after: int = 1) -> Behaviour:
    """Put an event that is not JSON into an answer of ten."""
    return _ten("mid_content", "malformed", after)


def no_done() -> Behaviour:
    """Finish properly but for ``[DONE]`` (Ollama: the line with ``done``)."""
    return _ten("before_end", "end", 0)


def error_in_stream(after: int | None = None) -> Behaviour:
    """Answer 200 and then an error: before content, or after ``after`` content events."""
    return msgspec.structs.replace(
        _ten("before_content" if after is None else "mid_content", "error", after or 0),
        error=ErrorBody(message="The server had an error while processing your request"),
    )


def error_in_200() -> Behaviour:
    """Answer 200 with an error as the body, streaming asked or not."""
    return Behaviour(
        body='{"error":{"message":"upstream failed","type":"server_error"}}', content_type="application/json"
    )


def empty() -> Behaviour:
    """Answer 200 with no body at all."""
    return Behaviour(body="")


def pings_only(count: int = 3, *, then: Literal["end", "stall", "close"] = "end", event_ms: int = 0) -> Behaviour:
    """Answer 200 with comments and no content."""
    return Behaviour(pings=count, event_ms=event_ms, fault=then, where="before_events")


def _ten(where: Where, fault: Fault, after: int) -> Behaviour:
    text = " ".join(f"w{index}" for index in range(10))
    return Behaviour(text=text, events=10, where=where, fault=fault, after=after)
