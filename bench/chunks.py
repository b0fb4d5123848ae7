"""Measures what one chunk of a stream costs: passed through, and translated from each family to each client.

The streams are our own words, in the forms of the scripted vendor: thoughts, a text and a call, each event a chunk of
its own as it comes from a network. A chunk is everything from the vendor's bytes to the client's: framing, decoding,
encoding, counting.
"""

import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec

from bench.allocations import Allocations
from services.providers.domain.dialect import Asked, Reader
from services.providers.domain.registry import CLIENTS, NATIVES, SPEECHES
from services.providers.domain.translating import TranslatedStream
from shared.contracts.frames import Completion, Fail, Tail
from shared.testing import upstream_dialects
from shared.testing.upstream_behaviour import Behaviour, ToolCall

PASSED_GOAL_US = 15
TRANSLATED_GOAL_US = 40
SECONDS = 0.2
"""Of each pair."""
_CALL = ToolCall(name="look_up", arguments='{"what":"the weather","where":["Paris","Oslo"],"days":3}')
_THOUGHTS = " ".join(f"thought {index}" for index in range(8))
_WORDS = " ".join(f"word{index}" for index in range(64))
_PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_completions": "/v1/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "gemini": "/v1beta/models/mock:streamGenerateContent",
    "ollama_chat": "/api/chat",
    "ollama_generate": "/api/generate",
}
_BODY: dict[str, Any] = {"model": "mock", "stream": True, "stream_options": {"include_usage": True}}
_MESSAGES: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
_ASKED: dict[str, dict[str, Any]] = {
    "openai_completions": {"prompt": "hello"},
    "openai_responses": {"input": "hello"},
    "ollama_generate": {"prompt": "hello"},
}


@dataclass(frozen=True)
class Cost:
    """What the chunks of one way cost; ``chunk_us`` is the median, ``stream_us`` a whole stream over its chunks."""

    chunk_us: float
    stream_us: float
    allocations: float | None
    """Of a chunk, on average."""


def stream(dialect: str) -> list[bytes]:
    """Return the events of a vendor's stream."""
    if dialect == "cohere_chat":
        return _cohere()
    texts_alone = dialect in ("openai_completions", "ollama_generate")
    behaviour = (
        Behaviour(text=_WORDS) if texts_alone else Behaviour(text=_WORDS, reasoning=_THOUGHTS, tool_calls=(_CALL,))
    )
    asked = upstream_dialects.asked(_PATHS[dialect], _body(dialect))
    assert asked is not None
    return [step.payload for step in upstream_dialects.streamed(asked, behaviour, 1).steps]


def _cohere() -> list[bytes]:
    """Return a stream of Cohere's, as in https://docs.cohere.com/docs/streaming."""
    said: list[dict[str, Any]] = [{"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}]
    for index, (kind, words) in enumerate((("thinking", _THOUGHTS), ("text", _WORDS))):
        said.append(_of_cohere("content-start", index, {"content": {"type": kind, kind: ""}}))
        said += [_of_cohere("content-delta", index, {"content": {kind: f" {word}"}}) for word in words.split()]
        said.append({"type": "content-end", "index": index})
    function = {"name": _CALL.name, "arguments": ""}
    said.append(_of_cohere("tool-call-start", 0, {"tool_calls": {"id": "c", "type": "function", "function": function}}))
    said.append(_of_cohere("tool-call-delta", 0, {"tool_calls": {"function": {"arguments": _CALL.arguments}}}))
    said.append({"type": "tool-call-end", "index": 0})
    usage = {"billed_units": {"input_tokens": 5, "output_tokens": 80}}
    said.append({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": usage}})
    return [b"event: " + item["type"].encode() + b"\ndata: " + msgspec.json.encode(item) + b"\n\n" for item in said]


def _of_cohere(kind: str, index: int, message: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


def _body(dialect: str) -> dict[str, Any]:
    return _BODY | _ASKED.get(dialect, _MESSAGES)


def _request(dialect: str) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="mock", model="p/mock", dialect=dialect,
        body=_body(dialect), stream=True, include_usage=True,
    )  # fmt: skip


def passing(dialect: str) -> Callable[[], Reader]:
    """Return what makes the reader of a stream that passes through."""
    request = _request(dialect)
    return lambda: NATIVES[dialect].reader(request)


def translating(speech: str, client: str) -> Callable[[], Reader]:
    """Return what makes the reader of a stream of one dialect for a client of another."""
    request = _request(client)
    ask = CLIENTS[client].decode_request(request.body)
    asked = Asked(id="0" * 32, model="p/mock", created=1, ask=ask, include_usage=True, body=request.body)
    return lambda: TranslatedStream(request, asked, SPEECHES[speech], CLIENTS[client])


def cost(make: Callable[[], Reader], chunks: list[bytes], counter: Allocations, seconds: float = SECONDS) -> Cost:
    """Read a stream over and over; raises RuntimeError unless it ends well."""
    reader = make()
    frames = reader.feed(b"".join(chunks))
    last = frames[-1] if isinstance(frames[-1], Tail | Fail) else reader.finish()[-1]
    if not isinstance(last, Tail):
        raise RuntimeError(f"the stream did not end well: {last}")
    now = time.perf_counter_ns
    took: list[int] = []
    whole: list[float] = []
    end = now() + int(seconds * 1e9)
    while now() < end or not whole:
        reader = make()
        times: list[int] = []
        for chunk in chunks:
            start = now()
            reader.feed(chunk)
            times.append(now() - start)
        took += times
        whole.append(sum(times) / len(chunks))
    made = counter.of(lambda: deque(map(make().feed, chunks), maxlen=0))
    return Cost(median(took) / 1e3, median(whole) / 1e3, None if made is None else made / len(chunks))


def measured(seconds: float = SECONDS) -> tuple[dict[str, Cost], dict[tuple[str, str], Cost]]:
    """Return the costs of passing through, by dialect, and of translations, by the vendor's and the client's."""
    counter = Allocations()
    gc.collect()
    gc.disable()  # as in the gateway, where it looks seldom
    try:
        passed = {name: cost(passing(name), stream(name), counter, seconds) for name in _PATHS if name in NATIVES}
        pairs = [(speech, client) for speech in SPEECHES for client in CLIENTS]
        translated = {pair: cost(translating(*pair), stream(pair[0]), counter, seconds) for pair in pairs}
    finally:
        gc.enable()
    return passed, translated


def table(seconds: float = SECONDS) -> str:
    """Return the costs in Markdown, as the page of performance shows them."""
    passed, translated = measured(seconds)
    lines = [
        "| vendor → client | chunk, median µs | stream, µs a chunk | allocations a chunk | aim, µs |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(f"{name}, passed through", found, PASSED_GOAL_US) for name, found in passed.items()]
    lines += [_row(f"{one} → {other}", found, TRANSLATED_GOAL_US) for (one, other), found in translated.items()]
    return "\n".join(lines)


def _row(name: str, found: Cost, goal: int) -> str:
    allocations = "-" if found.allocations is None else f"{found.allocations:.0f}"
    mark = "" if found.chunk_us <= goal else " (missed)"
    return f"| {name} | {found.chunk_us:.1f} | {found.stream_us:.1f} | {allocations} | {goal}{mark} |"


def main() -> None:
    """Print the table."""
    sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
