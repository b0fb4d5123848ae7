"""Streams split anywhere give the same events, and what passes through is byte-equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.domain import ndjson, sse
from services.providers.domain.ndjson import Lines, LineTooLarge
from services.providers.domain.passthrough import StreamReader
from services.providers.domain.sse import EventTooLarge, Framer, ServerEvent, parse_event, split_events
from shared.contracts.frames import Completion, Data, Tail

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(alphabet=st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=12)


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(raw) + 1) for cut in cuts})
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


def feed_all(parser: Framer | Lines, raw: bytes, step: int) -> None:
    for at in range(0, len(raw), step):
        parser.feed(raw[at : at + step])


class Parser:
    """Bytes in, events out: what framing, splitting and parsing come to together."""

    def __init__(self) -> None:
        self._framer = Framer()

    def feed(self, data: bytes) -> list[ServerEvent]:
        return [found for raw in split_events(self._framer.feed(data)) if (found := parse_event(raw)) is not None]


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[ServerEvent]]:
    """A stream in every form the standard allows, and the events that it holds."""
    raw = b"\xef\xbb\xbf" if draw(st.booleans()) else b""
    wanted: list[ServerEvent] = []
    for _ in range(draw(st.integers(0, 6))):
        end = draw(ENDS)
        lines = [b": " + draw(TEXT).encode()] if draw(st.booleans()) else []
        name = draw(st.sampled_from(["", "error", "ping"]))
        lines += [b"event: " + name.encode()] if name else []
        data = [b"d" + text.encode() for text in draw(st.lists(TEXT, max_size=3))]
        space = draw(st.sampled_from([b"", b" "]))
        lines += [b"data:" + space + line for line in data]
        raw += b"".join(line + end for line in lines) + end
        if data:
            wanted.append(ServerEvent(name, b"\n".join(data)))
    return raw, wanted


@given(streams(), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_split_gives_the_same_events(stream, cuts):
    raw, wanted = stream
    parser = Parser()
    assert [event for piece in pieces(raw, cuts) for event in parser.feed(piece)] == wanted


@given(streams())
def test_byte_by_byte_gives_the_same_events(stream):
    raw, wanted = stream
    parser = Parser()
    assert [event for at in range(len(raw)) for event in parser.feed(raw[at : at + 1])] == wanted


@given(streams(), st.lists(st.integers(0, 10_000), max_size=8))
def test_framing_neither_adds_nor_loses_a_byte(stream, cuts):
    raw, _ = stream
    framer = Framer()
    passed = b"".join(framer.feed(piece) for piece in pieces(raw, cuts))
    assert passed + framer.rest() == raw.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("size", [4_096, 65_536, 3_000_000])
def test_an_event_of_more_than_the_limit_is_an_error_at_every_split(size):
    raw = b"data: " + b"x" * sse.MAX_EVENT + b"\n\n"
    with pytest.raises(EventTooLarge):
        feed_all(Framer(), raw, size)


def test_many_small_events_in_one_chunk_are_no_large_event():
    raw = b"data: {}\n\n" * 200_000
    assert Framer().feed(raw) == raw


@given(st.lists(TEXT), ENDS.filter(lambda end: end != b"\r"), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_split_gives_the_same_lines(texts, end, cuts):
    raw = b"".join(text.encode() + end for text in texts)
    lines = Lines()
    found = [line for piece in pieces(raw, cuts) for line in lines.feed(piece)] + lines.end()
    assert found == [line for text in texts if (line := text.encode().strip().removeprefix(b"\xef\xbb\xbf"))]


@pytest.mark.parametrize("step", [65_536, 10_000_000])
def test_a_line_of_more_than_the_limit_is_an_error(step):
    raw = b"x" * (ndjson.MAX_LINE + 1) + b"\n"
    with pytest.raises(LineTooLarge):
        feed_all(Lines(), raw, step)


CHUNKS = [
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}',
    b": ping",
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"gr\xc3\xbc\xc3\x9f"},"x":[1, 2]}]}',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":" dich"},"finish_reason":null}],"error":null}',
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}',
    b"data: [DONE]",
]


@given(ENDS, st.lists(st.integers(0, 10_000), max_size=10), st.booleans(), st.booleans())
def test_a_stream_passes_byte_equal_at_any_split(end, cuts, include_usage, last_line_end):
    raw = b"".join(chunk + end + end for chunk in CHUNKS)
    if not last_line_end:
        raw = raw.removesuffix(end + end)
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect="openai_chat", body={},
        stream=True, include_usage=include_usage,
    )  # fmt: skip
    reader = StreamReader(request)
    frames = [frame for piece in pieces(raw, cuts) for frame in reader.feed(piece)]
    if not frames or not isinstance(frames[-1], Tail):
        frames += reader.finish()
    shown = [chunk for chunk in CHUNKS[:-1] if include_usage or b'"prompt_tokens"' not in chunk]
    assert (
        b"".join(frame.payload for frame in frames if isinstance(frame, Data)).strip()
        == b"".join(chunk + end + end for chunk in shown).strip()
    )
    tail = next(frame for frame in frames if isinstance(frame, Tail))
    assert (tail.tokens.input, tail.tokens.output, tail.finish_reason, tail.answered) == (9, 4, "stop", "m")
    before = [frame for frame in frames if isinstance(frame, Data) and not frame.content]
    assert all("grü".encode() not in frame.payload for frame in before)
