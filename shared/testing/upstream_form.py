"""What all dialects of a scripted vendor share: what was asked, what is replied, and in which steps."""

import base64
import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from shared.testing.upstream_behaviour import Behaviour, ErrorBody, Where

Body = dict[str, Any]
CREATED: Final = 1_767_225_600
CREATED_ISO: Final = "2026-01-01T00:00:00Z"
DIMENSIONS: Final = 8
"""Of a vector, where the client does not say."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an attempt asked for."""

    form: "Form"
    model: str
    body: Body
    stream: bool
    include_usage: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One event of an answer, or the whole of one that does not stream."""

    payload: bytes
    text: str = ""
    """The content that it shows."""
    content: bool = False
    claimed: Any = None
    """The usage that it claims."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """An answer, step by step, and before which step a fault comes in."""

    content_type: str
    steps: list[Step]
    fault_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is answered, in no dialect yet."""

    asked: Asked
    behaviour: Behaviour
    index: int
    """Of the attempt: ids are made from it."""
    text: str
    model: str
    usage: Any
    """In the dialect's own form; None: left out."""

    @property
    def id(self) -> str:
        """An id that no other answer has."""
        return f"wall-{self.index}"

    @property
    def pieces(self) -> list[str]:
        """The text in as many pieces as a stream has events of content."""
        return pieces(self.text, self.behaviour.events)

    @property
    def thoughts(self) -> list[str]:
        """The reasoning, a word a piece."""
        return pieces(self.behaviour.reasoning or "", None)

    @property
    def signature(self) -> str:
        """The vendor's proof of the reasoning: 32 bytes in base64."""
        return base64.b64encode(hashlib.sha256((self.behaviour.reasoning or "").encode()).digest()).decode()

    def usage_of(self, text: str) -> Any:
        """Return the usage of an answer that is ``text`` so far."""
        return usage_of(self.asked, self.behaviour, text)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The steps of a streamed answer: before content, content, and after it."""

    prelude: list[Step]
    content: list[Step]
    ending: list[Step]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One dialect as its vendor speaks it."""

    name: str
    prompts: Callable[[Body], list[str]]
    """The texts of a request, the one that is echoed last."""
    usage: Callable[[int, int, int], Any]
    """From tokens sent, tokens answered (thoughts included) and tokens of thought."""
    whole: Callable[[Reply], Any]
    error: Callable[[ErrorBody, int], Any]
    """An error as JSON, from its status."""
    streamed: Callable[[Reply], Stream] | None = None
    """None: it knows no streams."""
    lines: bool = False
    """Whether a stream is lines of JSON; else server-sent events."""
    unasked: bool = False
    """Whether it streams unless that is refused."""
    ping: bytes = b": ping\n\n"

    def event(self, payload: Any, name: str = "") -> bytes:
        """Return one event of a stream, or one line; ``payload`` is JSON already where it is bytes."""
        raw = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        if self.lines:
            return raw + b"\n"
        return (b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + raw + b"\n\n"

    def script(self, reply: Reply) -> Script:
        """Return the answer to a request that does not stream."""
        raw = msgspec.json.encode(self.whole(reply))
        step = Step(payload=raw, text=reply.text, content=True, claimed=reply.usage)
        return Script(content_type="application/json", steps=[step])

    def stream(self, reply: Reply) -> Script:
        """Return the answer to a request that streams."""
        assert self.streamed is not None
        parts, behaviour = self.streamed(reply), reply.behaviour
        steps = [*parts.prelude, *parts.content, *parts.ending]
        places: dict[Where, int] = {
            "before_events": 0,
            "before_content": len(parts.prelude),
            "mid_content": len(parts.prelude) + min(behaviour.after, len(parts.content)),
            "before_end": len(steps) - 1,
        }
        fault_at = None if behaviour.fault is None else places.get(behaviour.where)
        kind = "application/x-ndjson" if self.lines else "text/event-stream"
        return Script(content_type=kind, steps=steps, fault_at=fault_at)


def reply(asked: Asked, behaviour: Behaviour, index: int) -> Reply:
    """Return what ``behaviour`` answers."""
    prompts = asked.form.prompts(asked.body)
    echo = "" if behaviour.tool_calls else f"echo: {prompts[-1] if prompts else ''}"
    text = echo if behaviour.text is None else behaviour.text
    return Reply(
        asked=asked,
        behaviour=behaviour,
        index=index,
        text=text,
        model=behaviour.answered or asked.model,
        usage=usage_of(asked, behaviour, text),
    )


def usage_of(asked: Asked, behaviour: Behaviour, text: str) -> Any:
    """Return the usage that an answer claims: what the test said, or an honest count."""
    if behaviour.usage is not msgspec.UNSET:
        return behaviour.usage
    sent = sum(count(prompt) for prompt in asked.form.prompts(asked.body))
    thought = count(behaviour.reasoning or "")
    answered = count(text) + thought + sum(count(call.arguments) for call in behaviour.tool_calls)
    return asked.form.usage(sent, answered, thought)


def count(text: str) -> int:
    """Return the tokens of a text, as this vendor counts: its words."""
    return len(text.split())


def finish(behaviour: Behaviour) -> str:
    """Return why an answer ended, in OpenAI's words."""
    return "tool_calls" if behaviour.tool_calls and behaviour.finish_reason == "stop" else behaviour.finish_reason


def pieces(text: str, events: int | None) -> list[str]:
    """Return the text in ``events`` pieces; None: one per word, each with the space before it."""
    if not text:
        return []
    words = text.split(" ")
    found = [words[0], *(" " + word for word in words[1:])]
    if events is None or events >= len(found):
        return found
    size = -(-len(found) // max(events, 1))
    return ["".join(found[start : start + size]) for start in range(0, len(found), size)]


def halves(text: str) -> tuple[str, str]:
    """Return a text in two pieces."""
    middle = len(text) // 2
    return text[:middle], text[middle:]


def vector(text: str, dimensions: int | None) -> list[float]:
    """Return the vector of a text: always the same, and exact in 32 bits."""
    digest = hashlib.shake_128(text.encode()).digest(dimensions or DIMENSIONS)
    return [(byte - 128) / 128 for byte in digest]


def packed(values: list[float]) -> str:
    """Return a vector as base64 of little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, anything else as none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def as_dict(value: Any) -> Body:
    """Return an object as it is, anything else as an empty one."""
    return cast("Body", value) if isinstance(value, dict) else {}


def text_of(content: Any) -> str:
    """Return the words of a message's content: a text, or a list of parts that have one."""
    if not isinstance(content, list):
        return str(content or "")
    found = [as_dict(part) for part in as_list(cast("Any", content))]
    return " ".join(text_of(part.get("content") or part.get("output") or part.get("text")) for part in found)


def message_texts(messages: Iterable[Any]) -> list[str]:
    """Return the words of each message."""
    return [text_of(as_dict(message).get("content") if isinstance(message, dict) else message) for message in messages]
