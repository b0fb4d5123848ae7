"""The port between gateway and providers: one completion asked, frames answered, in-process or over HTTP.

An answer is ``Head Data* (Tail | Fail)`` or a ``Fail`` alone. A ``Fail`` before any content means that another
candidate may be tried; a ``Tail`` means the vendor ended the answer properly.
"""

import struct
from collections.abc import AsyncGenerator, Iterator
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from shared.contracts.usage import NO_TOKENS, Tokens
from shared.kernel.errors import ContractBroken


class FailureKind(StrEnum):
    """Every way in which an upstream fails. ``retryable``: another candidate may do better; ``hurts_health``:
    it counts against the provider's breaker."""

    CONNECT = "connect"
    """Refused, reset or unresolved before a byte of the answer."""
    TIMEOUT = "timeout"
    """A time limit passed: connect, first token, silence or total."""
    CUT = "cut"
    """The connection ended in the middle of the answer."""
    MALFORMED = "malformed"
    """Bytes that are not the dialect; also an answer without content."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    AUTHENTICATION = "authentication"
    """The vendor refuses the credential."""
    QUOTA = "quota"
    """The vendor wants money."""
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED = "unsupported"
    """This dialect or vendor cannot carry what was asked."""
    UNAVAILABLE = "unavailable"
    """Nothing was sent: provider unknown here, disabled, no usable credential, breaker open."""
    CANCELLED = "cancelled"
    """The client left."""

    @property
    def retryable(self) -> bool:
        """Whether another candidate may be tried while nothing was shown."""
        return self not in _FINAL

    @property
    def hurts_health(self) -> bool:
        """Whether it says something about the provider rather than about the request."""
        return self in _HURTS


_FINAL: Final = frozenset({FailureKind.CONTENT_POLICY, FailureKind.INVALID_REQUEST, FailureKind.CANCELLED})
_HURTS: Final = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.CUT,
        FailureKind.MALFORMED,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_ERROR,
    }
)


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Time limits of one attempt, in milliseconds."""

    connect_ms: int = 5_000
    first_token_ms: int = 120_000
    idle_ms: int = 30_000
    total_ms: int = 600_000


class Partial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of a stream that the client was shown before it broke: enough for another model to go on with it."""

    text: str
    """The words of the answer."""
    thinking: str = ""
    """The reasoning before them."""
    opening: bytes = b""
    """The events up to the first word: they carry the ids and names that the stream goes on with."""
    sequence: int | None = None
    """The number of the last event, in dialects that number them."""
    tool_calls: bool = False
    """Whether there was more than words of one answer (calls, media, a refusal): that is never spliced."""


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One attempt: what the gateway asks of providers."""

    attempt_id: str
    request_id: str
    provider_id: str
    native_id: str
    """The model, as the vendor knows it."""
    model: str
    """The model, as LocalRouter names it; what a translated answer carries."""
    dialect: str
    """The client's dialect: ``openai_chat``, ``openai_completions``, ``openai_responses``, ``openai_embeddings``,
    ``anthropic_messages``, ``anthropic_count_tokens``, ``ollama_chat``, ``ollama_generate`` or ``ollama_embed``."""
    body: dict[str, Any]
    """The client's request, parsed once."""
    stream: bool = False
    include_usage: bool = False
    """Whether the client asked for the usage chunk of a stream."""
    drop_params: bool = False
    timeouts: Timeouts = Timeouts()
    max_output: int | None = None
    idempotency_key: str | None = None
    headers: dict[str, str] = {}
    """The client's own headers that vendors of its dialect know (``anthropic-beta``, ``anthropic-version``), in lower
    case: they go on where the request passes through."""
    keep_partial: bool = False
    """Whether a ``Fail`` after content shall carry what was shown: it costs a copy of the stream."""
    resume: Partial | None = None
    """What the client has of the answer, from another model: go on with it, in the same stream."""
    fresh: bool = False
    """Whether it goes over a new connection: over a kept one it may have to be sent twice."""


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="head"):
    """The vendor accepted: what is known before the first byte of the answer."""

    status: int
    content_type: str
    upstream_request_id: str | None = None
    credential_id: str | None = None
    dropped_params: tuple[str, ...] = ()
    resent: bool = False
    """Whether it was sent twice: the first time over a kept connection that the vendor had closed unheard."""


class Data(msgspec.Struct, frozen=True):
    """Bytes for the client, always whole events of the client's dialect."""

    payload: bytes
    content: bool = False
    """Whether it holds content: from here on no other candidate may be tried."""


class Tail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tail"):
    """The answer is whole."""

    tokens: Tokens = NO_TOKENS
    answered: str | None = None
    """The model that the vendor says answered."""
    finish_reason: str | None = None
    closing: bytes = b""
    """The last bytes for the client (``data: [DONE]``), sent after the record is written."""


class Fail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="fail"):
    """The attempt failed."""

    kind: FailureKind
    message: str
    """For people: the vendor's words, without its secrets."""
    http_status: int | None = None
    """The vendor's status, where it answered one."""
    code: str | None = None
    """The vendor's own error code."""
    param: str | None = None
    retry_after_ms: int | None = None
    tokens: Tokens = NO_TOKENS
    credential_id: str | None = None
    rotated: bool = False
    """Whether the provider has another credential that no vendor refused: the same candidate may be asked at once."""
    resent: bool = False
    """As ``Head.resent``, of an attempt that got no head."""
    partial: Partial | None = None
    """What the client was shown, where ``keep_partial`` asked for it and there was any."""


Frame = Head | Data | Tail | Fail


class Completions(Protocol):
    """The port: implemented by the providers service itself and by the framed HTTP client."""

    def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        """Answer with frames; closing the generator early cancels the attempt upstream."""
        ...


_CONTENT: Final = 0x01
_PLAIN: Final = 0x02
_CONTROL: Final = 0x03
_HEADER: Final = struct.Struct("!BI")
MAX_FRAME: Final = 64 * 1024 * 1024
_ENCODER: Final = msgspec.json.Encoder()
_CONTROL_DECODER: Final = msgspec.json.Decoder(Head | Tail | Fail)


def encode_frame(frame: Frame) -> bytes:
    """Return a frame for the wire: one byte of kind, four of length (big endian), the payload."""
    if isinstance(frame, Data):
        return _HEADER.pack(_CONTENT if frame.content else _PLAIN, len(frame.payload)) + frame.payload
    payload = _ENCODER.encode(frame)
    return _HEADER.pack(_CONTROL, len(payload)) + payload


class FrameDecoder:
    """Turns bytes, however they were split, back into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and yield the frames that are whole; raises ContractBroken."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer)
            if length > MAX_FRAME:
                raise ContractBroken(f"a frame of {length} bytes, at most {MAX_FRAME} are allowed")
            end = _HEADER.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEADER.size : end])
            del buffer[:end]
            yield _decode(kind, payload)


def _decode(kind: int, payload: bytes) -> Frame:
    match kind:
        case 0x01:
            return Data(payload, content=True)
        case 0x02:
            return Data(payload)
        case 0x03:
            try:
                return _CONTROL_DECODER.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ContractBroken(f"not a frame: {error}") from error
        case _:
            raise ContractBroken(f"unknown frame kind {kind}")
