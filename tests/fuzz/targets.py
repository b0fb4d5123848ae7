"""Everything that reads the bytes of a vendor or of another process, as functions that must survive any bytes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from services.providers.domain.canonical import Ask, EmbedAsk, Message, Refused, Text
from services.providers.domain.dialect import Asked, Client, Reader, Speech
from services.providers.domain.embedding import read_embeddings
from services.providers.domain.errors import UNREADABLE, failed
from services.providers.domain.ndjson import Lines, LineTooLarge
from services.providers.domain.registry import CLIENTS, EMBED_CLIENTS, EMBED_SPEECHES, NATIVES, SPEECHES
from services.providers.domain.sse import EventTooLarge, Framer, parse_event, split_events
from services.providers.domain.translating import TranslatedStream, read_translated
from shared.contracts.frames import Completion, Fail, Frame, FrameDecoder, Tail
from shared.kernel.errors import ContractBroken

Target = Callable[[bytes], None]

_ASK: Final = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
_BODY: Final = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input": ["hi"]}
_ASKED: Final = Asked(id="ab" * 16, model="p/m", created=1_700_000_000, ask=_ASK, include_usage=True, body=_BODY)
_STEPS: Final = (1 << 20, 1, 7, 64, 1_000)


def targets() -> Mapping[str, Target]:
    """Return what is fuzzed, by name: framings, every decoder of streams and of whole answers, of requests and
    errors; behind a translation's decoder the encoders of all clients take turns."""
    found: dict[str, Target] = {"sse": _sse, "ndjson": _lines, "frames": _frames, "errors": _error}
    for name, native in NATIVES.items():
        request = _request(name)
        if name in CLIENTS:
            found[f"stream {name} native"] = partial(_stream, partial(native.reader, request))
        found[f"whole {name} native"] = partial(_whole, partial(native.whole, request))
    for name, speech in SPEECHES.items():
        found[f"stream {name}"] = partial(_translated_stream, speech)
        found[f"whole {name}"] = partial(_translated_whole, speech)
    for name, speech in EMBED_SPEECHES.items():
        for asked, client in EMBED_CLIENTS.items():
            read = partial(read_embeddings, _request(asked), EmbedAsk(inputs=("hi",)), speech, client)
            found[f"vectors {name} to {asked}"] = partial(_whole, read)
    for name, client in {**CLIENTS, **EMBED_CLIENTS}.items():
        found[f"request {name}"] = partial(_asked, client.decode_request)
    return found


def _request(dialect: str) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=dialect, body=_BODY,
        stream=True, include_usage=True,
    )  # fmt: skip


def _pieces(data: bytes) -> list[bytes]:
    """Cut the bytes as their first one says."""
    step = _STEPS[data[0] % len(_STEPS)] if data else 1
    return [data[at : at + step] for at in range(0, len(data), step)]


def _sse(data: bytes) -> None:
    framer = Framer()
    try:
        for piece in _pieces(data):
            for event in split_events(framer.feed(piece)):
                parse_event(event)
    except EventTooLarge:
        return
    parse_event(framer.rest())


def _lines(data: bytes) -> None:
    lines = Lines()
    try:
        for piece in _pieces(data):
            lines.feed(piece)
    except LineTooLarge:
        return
    lines.end()


def _frames(data: bytes) -> None:
    decoder = FrameDecoder()
    try:
        for piece in _pieces(data):
            list(decoder.feed(piece))
    except ContractBroken:
        return


def _error(data: bytes) -> None:
    failed(429, data, {"retry-after": data[:20].decode("latin-1")}, now=datetime(2026, 1, 1, tzinfo=UTC), secret="sk")


def _stream(make: Callable[[], Reader], data: bytes) -> None:
    reader = make()
    for piece in _pieces(data):
        frames = reader.feed(piece)
        if _ended(frames):
            return
    assert _ended(reader.finish()), "a stream that ended has neither a tail nor a failure"
    reader.tokens()


def _translated_stream(speech: Speech, data: bytes) -> None:
    client = _client(data)
    _stream(partial(TranslatedStream, _request(client.name), _ASKED, speech, client), data)


def _translated_whole(speech: Speech, data: bytes) -> None:
    client = _client(data)
    _whole(partial(read_translated, _request(client.name), _ASKED, speech, client), data)


def _client(data: bytes) -> Client:
    """Return the client that is answered: the length of the bytes says which."""
    clients = list(CLIENTS.values())
    return clients[len(data) % len(clients)]


def _ended(frames: list[Frame]) -> bool:
    ends = [isinstance(frame, Tail | Fail) for frame in frames]
    assert not any(ends[:-1]), "something follows the end"
    return bool(ends) and ends[-1]


def _whole(read: Callable[[bytes], list[Frame]], data: bytes) -> None:
    assert _ended(read(data)), "an answer is neither whole nor failed"


def _asked(decode: Callable[[dict[str, Any]], object], data: bytes) -> None:
    try:
        body = msgspec.json.decode(data)
    except UNREADABLE:
        return
    if isinstance(body, dict):
        try:
            decode(body)  # pyright: ignore[reportUnknownArgumentType]
        except Refused:
            return
