"""Ollama on both sides: lines go on byte-exact and are read at the side; the last one, ``done``, is the tail's."""

from typing import Any

import msgspec

from services.providers.domain.dialect import malformed
from services.providers.domain.dialects.ollama.wire import LINE, LINES, NOTHING_ASKED, Line, finish_of
from services.providers.domain.errors import UNREADABLE, error_in_answer, error_of
from services.providers.domain.ndjson import Lines, LineTooLarge
from services.providers.domain.usage import ollama_usage, settled
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Frame, Tail
from shared.contracts.usage import NO_TOKENS, Tokens

_MAY_BE_EMPTY = ("length", *NOTHING_ASKED)


def request_body(request: Completion, quirks: frozenset[str]) -> dict[str, Any]:
    """Return the client's body with the vendor's model and, as Ollama streams unasked, whether it shall stream."""
    body = dict(request.body)
    body.pop("models", None)
    usage = body.get("usage")
    if isinstance(usage, dict) and "include" in usage:
        del body["usage"]
    return body | {"model": request.native_id, "stream": request.stream}


def vectors_body(request: Completion, quirks: frozenset[str]) -> dict[str, Any]:
    """Return the client's body with the vendor's model."""
    body = dict(request.body)
    body.pop("models", None)
    return body | {"model": request.native_id}


class StreamReader:
    """Reads one streamed answer of ``/api/chat`` or ``/api/generate``; see ``Reader``."""

    __slots__ = ("_answered", "_called", "_content", "_lines", "_request", "_seen", "_size")

    def __init__(self, request: Completion) -> None:
        self._request = request
        self._lines = Lines()
        self._answered: str | None = None
        self._called = False
        self._content = False
        self._seen = 0
        self._size = 0

    @property
    def alive(self) -> bool:
        """Whether content or reasoning came."""
        return self._size > 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; see ``Reader``."""
        try:
            whole = self._lines.cut(data)
        except LineTooLarge:
            return [self._fail(malformed("the vendor sent a line of more than 1 MiB"))]
        return self._read(whole) if whole else []

    def finish(self) -> list[Frame]:
        """Take the end of the connection; see ``Reader``."""
        rest = b"".join(self._lines.end())
        frames = self._read(rest + b"\n") if rest else []
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
        if not self._seen:
            return [*frames, malformed("the vendor ended the stream before it began")]
        return [*frames, self._fail(Fail(kind=FailureKind.CUT, message="the vendor's stream ended in the middle"))]

    def tokens(self) -> Tokens:
        """Return the tokens so far; see ``Reader``."""
        return settled(None, self._request.body, self._size, whole=False) if self._size else NO_TOKENS

    def _read(self, whole: bytes) -> list[Frame]:
        raw = [line + b"\n" for line in whole.split(b"\n")[:-1]]
        try:
            lines = LINES.decode(b"[" + whole.rstrip().replace(b"\n", b",") + b"]")
        except UNREADABLE:
            lines = []
        if len(lines) != len(raw) or any(line.done or line.error for line in lines):
            return self._read_each(raw)
        for line in lines:
            self._take(line)
        return [Data(whole, content=self._content)]

    def _read_each(self, raw: list[bytes]) -> list[Frame]:
        """Read lines among which are the last one, errors, empty or broken ones."""
        kept: list[bytes] = []
        for text in raw:
            if not text.strip():
                kept.append(text)
                continue
            try:
                line = LINE.decode(text)
            except UNREADABLE:
                return [*self._data(kept), self._fail(malformed("the vendor's answer is not JSON of this dialect"))]
            if line.error:
                return [*self._data(kept), self._fail(error_in_answer(error_of(line.error)))]
            before = self._content
            self._take(line)
            if line.done:
                frames: list[Frame] = [Data(b"".join(kept), content=before)] if kept else []
                return [*frames, self._end(line, text)]
            kept.append(text)
        return self._data(kept)

    def _take(self, line: Line) -> None:
        self._seen += 1
        if line.model is not None:
            self._answered = line.model
        content, reasoning = weight(line)
        self._size += content + reasoning
        if content:
            self._content = True
            self._called = self._called or bool(line.message and line.message.tool_calls)

    def _end(self, line: Line, raw: bytes) -> Tail | Fail:
        if not self._content and line.done_reason not in _MAY_BE_EMPTY:
            return self._fail(malformed("the vendor's answer holds no content"))
        said = ollama_usage(line.prompt_eval_count, line.eval_count)
        return Tail(
            tokens=settled(said, self._request.body, self._size, whole=True),
            answered=self._answered,
            finish_reason=finish_of(line.done_reason, called=self._called).value,
            closing=raw if raw.endswith(b"\n") else raw + b"\n",
        )

    def _data(self, kept: list[bytes]) -> list[Frame]:
        return [Data(b"".join(kept), content=self._content)] if kept else []

    def _fail(self, failure: Fail) -> Fail:
        return msgspec.structs.replace(failure, tokens=self.tokens())


def weight(line: Line) -> tuple[int, int]:
    """Return how many bytes of content and of reasoning a line holds, about; 0: none."""
    said = line.message
    if said is None:
        return len(line.response or ""), len(line.thinking or "")
    content = len(said.content or "") + sum(len(image) for image in said.images or ())
    if said.tool_calls:
        content += len(msgspec.json.encode(said.tool_calls))
    return content, len(said.thinking or "")


def read_whole(request: Completion, body: bytes) -> list[Frame]:
    """Read a whole answer of status 200: its bytes and the tail, or the failure that it is."""
    try:
        line = LINE.decode(body)
    except UNREADABLE:
        return [malformed("the vendor's answer is not JSON of this dialect")]
    if line.error:
        return [error_in_answer(error_of(line.error))]
    content, reasoning = weight(line)
    if not content and line.done_reason not in _MAY_BE_EMPTY:
        return [malformed("the vendor's answer holds no content")]
    said = ollama_usage(line.prompt_eval_count, line.eval_count)
    tail = Tail(
        tokens=settled(said, request.body, content + reasoning, whole=True),
        answered=line.model,
        finish_reason=finish_of(line.done_reason, called=bool(line.message and line.message.tool_calls)).value,
    )
    return [Data(body, content=True), tail]
