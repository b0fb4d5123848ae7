"""What a face is: the paths a family of clients asks at, what a request there must hold, and how an error is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from services.gateway.domain.errors import ApiError, bad_request

Body = dict[str, Any]
Check = Callable[[Body], None]
"""Raises ApiError (400) for a body that is no request at all; the rest is the providers' to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path that asks a model."""

    dialect: str
    """``Completion.dialect``."""
    check: Check
    streams: Literal["asked", "unless_refused", "never"] = "asked"
    """When an answer streams: ``stream: true`` asks for it, or ``stream: false`` refuses it."""
    billed: bool = True
    """Whether what is asked costs tokens."""
    continues: bool = False
    """Whether ``previous_response_id`` names what it goes on from: that lies with one provider."""
    vectors: bool = False
    """Whether the answer is worth something only together with others of the same model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """How one family of clients asks and wants to be told of errors."""

    routes: Mapping[str, Route]
    """By path."""
    error_body: Callable[[ApiError, str], bytes]
    """An error as a whole answer; the second argument is the request's public id."""
    error_event: Callable[[ApiError, str, bytes], bytes]
    """An error as the last event of a running stream; the third argument is what was sent last."""
    event_mark: bytes = b"data:"
    """What every event of a stream holds once."""
    comment: bytes = b": still waiting\n\n"
    """What a stream may hold that no client takes for an event; empty: there is no such thing."""
    key_headers: frozenset[bytes] = field(default_factory=frozenset[bytes])
    """Headers besides ``authorization`` that may carry the key, in lower case."""
    passed_headers: frozenset[bytes] = field(default_factory=frozenset[bytes])
    """Headers that go on to a vendor of the same dialect, in lower case."""
    id_headers: tuple[bytes, ...] = (b"x-request-id",)
    """Headers that tell the request's id."""
    keyless: bool = False
    """Whether its clients may be unable to send a key at all."""


def missing(param: str) -> ApiError:
    """400: the request lacks what every such request has."""
    return bad_request(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def require(*params: str) -> Check:
    """Return a check that each of ``params`` is there."""

    def check(body: Body) -> None:
        for param in params:
            if body.get(param) is None:
                raise missing(param)

    return check


def require_messages(body: Body) -> None:
    """Raise ApiError (400) when there is no conversation; its messages are judged by those who read them."""
    if "messages" not in body:
        raise missing("messages")
    messages = body["messages"]
    if not (isinstance(messages, list) and messages):
        raise bad_request("'messages' must be a list with at least one message.", param="messages")


def require_inputs(body: Body) -> None:
    """Raise ApiError (400) when there is nothing to make a vector of."""
    inputs = body.get("input")
    if inputs is None:
        raise missing("input")
    if not isinstance(inputs, str | list) or not inputs:
        raise bad_request("'input' must be a text or a list with at least one text.", param="input")
    listed = cast("list[Any]", inputs) if isinstance(inputs, list) else []
    if any(not isinstance(item, str | int | list) for item in listed):
        raise bad_request("'input' must hold texts, or lists of tokens.", param="input")


def streams(route: Route, body: Body) -> bool:
    """Return whether the client wants a stream; raises ApiError (400)."""
    if route.streams == "never":
        return False
    wanted = body.get("stream")
    if wanted is None:
        return route.streams == "unless_refused"
    if not isinstance(wanted, bool):
        raise bad_request("'stream' must be true or false.", param="stream")
    return wanted
