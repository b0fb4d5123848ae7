"""What a dialect is: pure functions from and to the canonical form, and the readers that the engine makes of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import msgspec

from services.providers.domain.canonical import Answer, Ask, Delta, EmbedAsk, Embeddings, Json, Parameter
from shared.contracts.frames import Completion, Fail, FailureKind, Frame
from shared.contracts.usage import Tokens


class Reader(Protocol):
    """Turns the bytes of one streamed answer into frames; after a ``Tail`` or ``Fail`` nothing more is read."""

    @property
    def alive(self) -> bool:
        """Whether the model has begun: content or reasoning came, not just a role, a ping or a comment."""
        ...

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return ``Data``, and a ``Tail`` or ``Fail`` last where the answer is over."""
        ...

    def finish(self) -> list[Frame]:
        """The connection ended: return what is left, and a ``Tail`` or ``Fail`` last."""
        ...

    def tokens(self) -> Tokens:
        """Return the tokens so far, for an attempt that ends here by other means."""
        ...


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the vendor understands it, and how its answer is read."""

    path: str
    """Relative to the provider's base URL."""
    body: dict[str, Any]
    reader: Callable[[], Reader]
    """Makes the reader of a streamed answer."""
    whole: Callable[[bytes], list[Frame]]
    """Reads a whole answer: ``Data`` and ``Tail``, or one ``Fail``."""
    dropped: tuple[str, ...] = ()
    """Parameters of the client's that are not sent."""
    stream_type: str = "text/event-stream; charset=utf-8"
    """The content type of the stream that the client gets."""
    headers: Mapping[str, str] = {}
    """Sent besides the vendor's own."""
    credential_id: str | None = None
    """The credential that must be used, where what is referred to lies with it."""
    bound: "Callable[[str | None], Outgoing] | None" = None
    """Returns the same once it is known which credential is sent (its id), where the answer has to name it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that needs no vendor."""

    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer's encoder must know of the request it answers."""

    id: str
    """Unique to the attempt, hexadecimal: ids of answers are made from it."""
    model: str
    """LocalRouter's name of the model: what a translated answer carries."""
    created: int
    """Unix seconds."""
    ask: Ask
    include_usage: bool = False
    body: Json = field(default_factory=dict[str, Any])
    """The client's own request, where an answer repeats parts of it."""


class StreamDecoder(Protocol):
    """Reads one vendor's stream, event after event; made per request, so no state outlives it."""

    def feed(self, event: str, data: bytes) -> Iterable[Delta]:
        """Take one event (its name, empty where it has none) or one line of JSON; raises Malformed."""
        ...


class StreamEncoder(Protocol):
    """Writes one client's stream."""

    def encode(self, delta: Delta) -> bytes:
        """Return whole events of the client's dialect, often one, sometimes none. ``Counted``, ``Finished`` are noted
        where they are needed; ``Ended`` and ``Failed`` never come."""
        ...

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the last events, and apart from them the dialect's end mark, which is sent after the record is
        written."""
        ...


class Malformed(Exception):
    """Bytes that are not the dialect; the message says what is missing."""


class VendorFailed(Exception):
    """An answer of status 200 that is an error: ``error`` in the vendor's own words (parsed JSON or text)."""

    def __init__(self, error: Any) -> None:
        super().__init__("the vendor answered an error")
        self.error = error


@dataclass(frozen=True, slots=True)
class Range:
    """What a vendor allows of a number, or how many of a list."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Wire:
    """What the encoder of a vendor's request must know besides the request."""

    native_id: str
    max_output: int | None = None
    """The model's own limit, where it is known."""
    thinks: bool = False
    """Whether the model is known to reason."""
    quirks: frozenset[str] = frozenset()
    """The vendor's deviations from the dialect (``Vendor.quirks``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The client's side of a dialect for text: its name is ``Completion.dialect``."""

    name: str
    names: Mapping[Parameter, str]
    """The dialect's own name of each parameter it can say: what a refusal names. One with dots is a place inside."""
    decode_request: Callable[[Json], Ask]
    """Raises Refused for a body of the wrong shape."""
    encode_answer: Callable[[Answer, Asked], bytes]
    stream_encoder: Callable[[Asked], StreamEncoder]
    stream_type: str = "text/event-stream; charset=utf-8"
    aliases: Mapping[Parameter, tuple[str, ...]] = field(default_factory=dict[Parameter, tuple[str, ...]])
    """Other names that some parameters may be said by."""

    def names_in(self, body: Json) -> dict[Parameter, tuple[str, ...]]:
        """Return the names by which a request says each parameter, the dialect's own where it says it by none."""
        return {
            parameter: tuple(each for each in (name, *self.aliases.get(parameter, ())) if _stands(body, each))
            or (name,)
            for parameter, name in self.names.items()
        }


def _stands(body: Json, path: str) -> bool:
    found: Any = body
    for name in path.split("."):
        found = cast("Json", found).get(name) if isinstance(found, dict) else None
    return found is not None


def _nothing(_: str) -> frozenset[Parameter]:
    return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The vendor's side of a dialect for text."""

    name: str
    path: str
    """Where whole answers are asked; ``{model}`` is the vendor's id of the model."""
    stream_path: str | None = None
    """Where streams are asked, if elsewhere."""
    takes: frozenset[Parameter]
    """The parameters that the dialect can say."""
    lacks: Callable[[str], frozenset[Parameter]] = _nothing
    """The parameters that one of its models, by the vendor's id, does not take."""
    ranges: Mapping[Parameter, Range] = field(default_factory=dict[Parameter, Range])
    words: Mapping[Parameter, frozenset[str]] = field(default_factory=dict[Parameter, frozenset[str]])
    """The values of a parameter that the dialect can say, where those are not all."""
    encode_request: Callable[[Ask, Wire], Json]
    """Encodes what ``takes`` allows; raises Refused for content that cannot be said."""
    decode_answer: Callable[[Json], Answer]
    """Raises Malformed, VendorFailed."""
    stream_decoder: Callable[[], StreamDecoder]
    framing: Literal["sse", "ndjson"] = "sse"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedClient:
    """The client's side of a dialect for vectors."""

    name: str
    decode_request: Callable[[Json], EmbedAsk]
    encode_answer: Callable[[Embeddings, str], bytes]
    """From vectors and LocalRouter's name of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSpeech:
    """The vendor's side of a dialect for vectors."""

    name: str
    path: str
    takes: frozenset[str]
    """Of ``dimensions``, ``user``, ``truncate``, ``token inputs``."""
    encode_request: Callable[[EmbedAsk, Wire], Json]
    decode_answer: Callable[[Json], Embeddings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """The same dialect on both sides: bytes go on untouched and are read at the side."""

    name: str
    path: str
    request_body: Callable[[Completion, frozenset[str]], Json]
    """The client's body with the vendor's model in it; the second argument is the vendor's quirks. Raises Refused."""
    reader: Callable[[Completion], Reader]
    whole: Callable[[Completion, bytes], list[Frame]]
    stream_type: str = "text/event-stream; charset=utf-8"
    tied: Callable[[Completion, Outgoing], Outgoing] | None = None
    """Ties a request to the credential that keeps what it refers to, and its answer to the one that is sent."""
    headers: frozenset[str] = frozenset()
    """The client's headers that go on to the vendor, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How a vendor is asked for the tokens of a request without an answer to it; ``name`` is its ``Speech``'s."""

    name: str
    path: str
    encode_request: Callable[[Ask, Wire], Json]
    """Of a request that fits the vendor; raises Refused."""
    decode_answer: Callable[[Json], int]
    """Raises Malformed, VendorFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountClient:
    """How a client asks for the tokens of a request without an answer to it."""

    name: str
    text: str
    """The dialect of the request that is counted."""
    encode_answer: Callable[[int, bool], bytes]
    """From a number, and whether it is an estimate."""


def unsupported(param: str, message: str) -> Fail:
    """Return the refusal of a request that this dialect cannot carry."""
    return Fail(kind=FailureKind.UNSUPPORTED, message=message, http_status=400, param=param)


def malformed(message: str) -> Fail:
    """Return the failure of an answer that is not the dialect."""
    return Fail(kind=FailureKind.MALFORMED, message=message)
