"""Wherever a network cuts a recorded stream of any family, it is read as if it had come at once.

``pytest -s`` shows the counts; ``-m faults`` tries every position and a thousand random cuts of every stream, the quick
run a sample.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from services.providers.domain.canonical import Ask, Message, Text
from services.providers.domain.dialect import Asked, Reader
from services.providers.domain.ndjson import Lines
from services.providers.domain.registry import CLIENTS, NATIVES, SPEECHES
from services.providers.domain.sse import Framer, ServerEvent, parse_event, split_events
from services.providers.domain.translating import TranslatedStream
from shared.contracts.frames import Completion, Data, Fail, Frame, Tail
from tests.support.recordings import streams

APIS = {
    "openai-chat": ("openai_chat", "openai_chat"),
    "openai-completions": (None, "openai_completions"),
    "openai-responses": ("openai_responses", "openai_responses"),
    "anthropic-messages": ("anthropic_messages", "anthropic_messages"),
    "gemini-generateContent": ("gemini", None),
    "cohere-chat": ("cohere_chat", None),
    "ollama-chat": ("ollama_chat", "ollama_chat"),
    "ollama-generate": (None, "ollama_generate"),
}
"""The dialect a wire format is translated from and the one it passes through in, where there are such."""
SHORT = 4_096
"""Bytes of a stream that is cut at every position before a whole reader."""
BODY: dict[str, Any] = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}]}
ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=ASK, include_usage=True, body=BODY)


class Read(NamedTuple):
    """What a client got: bytes, or events where lines end with CRLF, since a cut between the two may cost the LF."""

    payload: bytes | list[ServerEvent]
    last: Frame


def readers(api: str) -> list[Callable[[], Reader]]:
    """Return what makes the readers of a wire format: translated, and passed through."""
    speech, native = APIS[api]
    made: list[Callable[[], Reader]] = []
    if speech is not None:
        client = "anthropic_messages" if speech == "openai_chat" else "openai_chat"
        made.append(lambda: TranslatedStream(request(client), ASKED, SPEECHES[speech], CLIENTS[client]))
    if native is not None:
        made.append(lambda: NATIVES[native].reader(request(native)))
    return made


def request(dialect: str) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=dialect, body=BODY,
        stream=True, include_usage=True,
    )  # fmt: skip


def read(make: Callable[[], Reader], pieces: list[bytes]) -> Read:
    reader = make()
    payload: list[bytes] = []
    for frame in _frames(reader, pieces):
        if isinstance(frame, Tail | Fail):
            closing = frame.closing if isinstance(frame, Tail) else b""
            whole = b"".join(payload) + closing
            return Read(events(whole) if b"\r" in whole else whole, frame)
        assert isinstance(frame, Data)
        payload.append(frame.payload)
    raise AssertionError("a stream without an end")


def _frames(reader: Reader, pieces: list[bytes]) -> Iterator[Frame]:
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.finish()


def framed_alike_at(raw: bytes, positions: range, *, lines: bool) -> None:
    """Assert that framing gives the same events wherever it is cut in two.

    What a framer gives is a part of the stream, byte for byte: the events are the same when it ends between two.
    """
    if lines:
        parser = Lines()
        wanted = [*parser.feed(raw), *parser.end()]
        for at in positions:
            parser = Lines()
            assert [*parser.feed(raw[:at]), *parser.feed(raw[at:]), *parser.end()] == wanted, at
        return
    framer = Framer()
    whole = framer.feed(raw)
    rest = framer.rest()
    ends, end = {0}, 0
    for event in split_events(whole):
        end += len(event)
        ends.add(end)
    assert end == len(whole)
    for at in positions:
        framer = Framer()
        first = framer.feed(raw[:at])
        second = framer.feed(raw[at:])
        assert first + second + framer.rest() == whole + rest, at
        if len(first) not in ends:  # a cut between CR and LF: the LF begins what follows, where it says nothing
            assert events(first) + events(second) == events(whole), at


def events(whole: bytes) -> list[ServerEvent]:
    return [found for event in split_events(whole) if (found := parse_event(event)) is not None]


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    return [raw[one:other] for one, other in zip([0, *places], [*places, len(raw)], strict=True)]


def at_random(raw: bytes, rng: random.Random) -> list[bytes]:
    """Return a stream in two to 33 pieces, some of them empty."""
    return cut(raw, sorted(rng.choices(range(len(raw) + 1), k=rng.randint(1, 32))))


def tried(api: str, *, streams_most: int, step: int, times: int) -> dict[str, int]:
    """Cut the streams of a wire format; ``step``: bytes between two positions that are tried."""
    rng = random.Random(api)
    count = dict.fromkeys(("streams", "framed", "read", "at random"), 0)
    makes = readers(api)
    found = sorted(streams(api), key=lambda stream: len(stream[1]))
    for file, raw in found[:: -(-len(found) // streams_most)]:
        positions = range(0, len(raw) + 1, step)
        framed_alike_at(raw, positions, lines=api.startswith("ollama"))
        count["streams"] += 1
        count["framed"] += len(positions)
        for make in makes:
            wanted = read(make, [raw])
            for at in positions if len(raw) <= SHORT else ():
                assert read(make, [raw[:at], raw[at:]]) == wanted, (file, at)
                count["read"] += 1
            for _ in range(times):
                pieces = at_random(raw, rng)
                assert read(make, pieces) == wanted, (file, [len(piece) for piece in pieces])
                count["at random"] += 1
    print(f"\n{api}: {count}")
    return count


@pytest.mark.parametrize("api", APIS)
def test_a_sample_of_recorded_streams_reads_the_same_wherever_it_is_cut(api):
    count = tried(api, streams_most=12, step=61, times=4)
    assert count["streams"] >= 4


@pytest.mark.faults
@pytest.mark.parametrize("api", APIS)
def test_every_recorded_stream_reads_the_same_at_every_cut_and_in_a_thousand_at_random(api):
    count = tried(api, streams_most=1_000, step=1, times=1_000)
    assert count["at random"] == count["streams"] * 1_000 * len(readers(api))
