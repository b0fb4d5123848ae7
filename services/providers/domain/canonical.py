"""The canonical form: what clients ask and vendors answer, in the words of no dialect.

A request is an ``Ask``, an answer an ``Answer``, a stream a sequence of ``Delta``; dialects decode into these and
encode from them, so there is one form in the middle and no matrix of translators. What only one dialect can say travels
as ``Opaque``, so that the same dialect on the other side loses nothing and another one refuses it by name.
"""

from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from shared.contracts.usage import NO_TOKENS, Tokens

Json = dict[str, Any]


class Refused(Exception):
    """A request that cannot be carried: ``param`` is the client's own name of what is at fault."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class Signature(msgspec.Struct, frozen=True):
    """A vendor's proof or ciphertext of its own reasoning, byte-exact; worth something to that vendor alone."""

    origin: str
    """The dialect of the vendor that made it (``anthropic_messages``)."""
    value: str


SEAL: Final = "lr1."
"""Marks a signature that a client of another dialect keeps."""


def carried(signature: Signature, dialect: str) -> str:
    """Return a signature as a client of ``dialect`` keeps it: as it is among its own, marked with its origin else."""
    return signature.value if signature.origin == dialect else f"{SEAL}{signature.origin}.{signature.value}"


def uncarried(text: str, dialect: str) -> Signature:
    """Return the signature that a client of ``dialect`` sends back."""
    if text.startswith(SEAL):
        origin, _, value = text.removeprefix(SEAL).partition(".")
        return Signature(origin, value)
    return Signature(dialect, text)


class Cache(msgspec.Struct, frozen=True):
    """A mark: the prompt up to and with this part shall be cached."""

    ttl: Literal["5m", "1h"] = "5m"


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source that a text leans on. ``start`` and ``end`` are characters of the text, where they are known."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    document: int | None = None
    """Place of the document in the request, from 0."""
    start: int | None = None
    end: int | None = None
    raw: Json | None = None
    """As its own dialect said it, for a client of the same dialect."""


class Text(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Words."""

    text: str
    cache: Cache | None = None
    citations: tuple[Citation, ...] = ()
    signature: Signature | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="media"):
    """An image, a document, a sound or a film: its bytes in base64 (``data``), its address or a vendor's file."""

    kind: Literal["image", "document", "audio", "video"]
    media_type: str | None = None
    """``image/png``; None: not said."""
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    """A file that lies with the vendor."""
    text: str | None = None
    """A document given as words."""
    name: str | None = None
    detail: str | None = None
    """How closely an image is looked at: ``low``, ``high``, ``auto``."""
    transcript: str | None = None
    """What an answered sound says."""
    cache: Cache | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="thinking"):
    """Reasoning that is shown, or its summary; without text where the vendor keeps it to itself."""

    text: str = ""
    signature: Signature | None = None
    redacted: bool = False
    """The signature is all there is: encrypted reasoning."""
    summary: bool = False
    """The text is a summary of it."""
    id: str | None = None
    """As the vendor names the item (``rs_…``)."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tool_call"):
    """The model wants a function called."""

    id: str
    name: str
    arguments: str
    """JSON, as the vendor wrote it."""
    signature: Signature | None = None
    cache: Cache | None = None


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tool_result"):
    """What a called function gave."""

    id: str
    """Of the call."""
    content: tuple["Text | Media", ...] = ()
    name: str | None = None
    """Of the function, where the client says it or the call is in the conversation."""
    error: bool = False
    cache: Cache | None = None


class RefusalText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="refusal"):
    """The model's own words why it will not."""

    text: str


class Opaque(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="opaque"):
    """A part that only ``dialect`` knows (a vendor's own tool and its result, a container)."""

    dialect: str
    raw: Json


Part = Text | Media | Thinking | ToolCall | ToolResult | RefusalText | Opaque
Role = Literal["system", "user", "assistant"]
"""The results of tools are parts of the user's."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn, or a part of the instructions."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call, or (``opaque``) a tool that the vendor brings itself."""

    name: str
    description: str | None = None
    schema: Json | None = None
    """JSON schema of its arguments; None: it takes none."""
    strict: bool | None = None
    cache: Cache | None = None
    opaque: Opaque | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a tool must be called; ``named``: this one."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    among: tuple[str, ...] = ()
    """The tools that may be called, where only some of them are."""


class Format(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the answer's text must be: any JSON, or JSON of a schema."""

    kind: Literal["json", "schema"]
    name: str | None = None
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much the model shall think: in words or in tokens, as the client said it; ``adaptive``: as it sees fit."""

    effort: Effort | None = None
    budget: int | None = None
    adaptive: bool = False
    shown: bool | None = None
    """Whether thoughts are answered; None: not said."""
    summary: str | None = None
    """``auto``, ``concise``, ``detailed``."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for text. What is None was not said. ``Parameter`` names the fields that a vendor may not know."""

    messages: tuple[Message, ...]
    """In the client's order, instructions (role ``system``) included."""
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_output: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    modalities: tuple[str, ...] = ()
    """Of the answer, where more than text is wanted: ``text``, ``audio``, ``image``."""
    audio: Json | None = None
    """Voice and format of an answered sound."""
    verbosity: str | None = None
    prediction: Json | None = None
    user: str | None = None
    metadata: Json | None = None
    service_tier: str | None = None
    store: bool | None = None
    cache_key: str | None = None
    web_search: Json | None = None
    extra: Json = {}
    """Parameters that only the client's dialect has, under its own names: another refuses or drops them."""


class Parameter(StrEnum):
    """The parameters of an ``Ask`` that dialects and vendors take or do not: the rows of the support table."""

    TOOLS = "tools"
    TOOL_CHOICE = "tool_choice"
    PARALLEL_TOOL_CALLS = "parallel_tool_calls"
    FORMAT_JSON = "format_json"
    FORMAT_SCHEMA = "format_schema"
    REASONING = "reasoning"
    MAX_OUTPUT = "max_output"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    MIN_P = "min_p"
    SEED = "seed"
    STOP = "stop"
    PRESENCE_PENALTY = "presence_penalty"
    FREQUENCY_PENALTY = "frequency_penalty"
    LOGIT_BIAS = "logit_bias"
    LOGPROBS = "logprobs"
    TOP_LOGPROBS = "top_logprobs"
    N = "n"
    MODALITIES = "modalities"
    AUDIO = "audio"
    VERBOSITY = "verbosity"
    PREDICTION = "prediction"
    USER = "user"
    METADATA = "metadata"
    SERVICE_TIER = "service_tier"
    STORE = "store"
    CACHE_KEY = "cache_key"
    WEB_SEARCH = "web_search"


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """The model was done, or met a stop sequence."""
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    """The vendor's safety stopped it."""
    REFUSAL = "refusal"
    """The model, or a classifier of the vendor's, would not."""
    PAUSE = "pause"
    """A long turn of the vendor's own tools: the client is to send it on."""


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the answers (there is mostly one)."""

    parts: tuple[Part, ...]
    finish: Finish = Finish.STOP
    stop_sequence: str | None = None
    logprobs: Any = None
    """As OpenAI's chat gives them: ``{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}``."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer."""

    choices: tuple[Choice, ...]
    id: str | None = None
    model: str | None = None
    """The model that the vendor says answered."""
    tokens: Tokens = NO_TOKENS
    service_tier: str | None = None


class EmbedAsk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for vectors. ``inputs`` are texts, or lists of token numbers."""

    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    base64: bool = False
    """Whether the client wants the vectors as base64 of 32-bit floats."""
    user: str | None = None
    truncate: bool | None = None
    extra: Json = {}


class Embeddings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Vectors, in the order of the inputs: numbers, or base64 of little-endian 32-bit floats as the vendor gave it."""

    vectors: tuple[list[float] | str, ...]
    model: str | None = None
    tokens: Tokens = NO_TOKENS


# What a stream is made of. ``part`` numbers the parts of a choice from 0: a delta with a new number begins a new part.


class Begin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The vendor began to answer."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None


class TextDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """More words."""

    part: int
    text: str
    choice: int = 0
    logprobs: Any = None
    signature: Signature | None = None


class ThinkingDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """More reasoning, or its signature."""

    part: int
    text: str = ""
    choice: int = 0
    signature: Signature | None = None
    redacted: bool = False
    summary: bool = False
    id: str | None = None


class CallDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call begins (``id`` and ``name`` are told once, with its first delta) or more of its arguments come."""

    part: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    choice: int = 0
    signature: Signature | None = None


class RefusalDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """More words of a refusal."""

    part: int
    text: str
    choice: int = 0


class MediaDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A piece of an answered sound or image."""

    part: int
    media: Media
    choice: int = 0


class CitationDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A source of the text ``part``."""

    part: int
    citation: Citation
    choice: int = 0


class OpaqueDelta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A whole part that only its own dialect knows."""

    part: int
    opaque: Opaque
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One choice is whole."""

    reason: Finish
    choice: int = 0
    stop_sequence: str | None = None


class Counted(msgspec.Struct, frozen=True, gc=False):
    """The usage so far: a later one replaces an earlier."""

    tokens: Tokens


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The dialect's own end mark came: nothing follows."""


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The vendor sent an error in the stream, in its own words (parsed JSON or text)."""

    error: Any


Delta = (
    Begin
    | TextDelta
    | ThinkingDelta
    | CallDelta
    | RefusalDelta
    | MediaDelta
    | CitationDelta
    | OpaqueDelta
    | Finished
    | Counted
    | Ended
    | Failed
)
