"""The usage record: one per request, the one fact that bills, graphs and explanations are made from."""

from typing import Final, Literal

import msgspec

from shared.kernel.errors import ContractBroken

RequestStatus = Literal["succeeded", "failed", "cancelled", "interrupted", "refused"]
TokenSource = Literal["provider", "partial", "estimated", "none"]


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens in disjoint classes: ``input``, ``cached``, ``cache_write`` and ``output`` sum to the vendor's total."""

    input: int = 0
    """Without ``cached`` and ``cache_write``."""
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    """A part of ``cache_write``: what is kept for an hour costs more."""
    audio_input: int = 0
    """A part of ``input``."""
    audio_output: int = 0
    """A part of ``output``."""
    output: int = 0
    reasoning: int = 0
    """A part of ``output``."""
    source: TokenSource = "none"


NO_TOKENS: Final = Tokens()


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at one candidate."""

    id: str
    provider_id: str
    provider: str
    model: str
    outcome: str
    """``succeeded``, ``cancelled``, ``interrupted`` or a ``FailureKind``."""
    started_at: str
    """RFC 3339."""
    duration_ms: float
    http_status: int | None = None
    error_code: str | None = None
    credential_id: str | None = None
    tokens: Tokens = NO_TOKENS
    cost: int | None = None
    """Pico-USD; None: the price is unknown."""
    shadow_cost: int | None = None
    """Pico-USD that a subscription's answer would cost at API prices; None: unknown, or no subscription."""
    price_version: str | None = None
    resumed: bool = False
    """Whether it went on with the answer of the attempt before it, in the same stream."""
    resent: bool = False
    """Whether it was sent twice, because the first went over a kept connection that the vendor had closed."""


class Exclusion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate of the plan that was passed over, and the value that caused it."""

    provider: str
    model: str
    cause: str
    value: str | None = None


class Needs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request asks of a model, read off its body."""

    capabilities: tuple[str, ...] = ()
    input_tokens: int = 0
    """Estimated."""
    output_tokens: int | None = None
    """The client's ``max_tokens``."""


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request as the one who saw the client saw it; totals are sums over the attempts."""

    id: str
    time: str
    """RFC 3339 with milliseconds: when the request arrived."""
    status: RequestStatus
    endpoint: str
    dialect: str
    stream: bool = False
    http_status: int | None = None
    error_code: str | None = None
    key_id: str | None = None
    key_name: str | None = None
    router: str | None = None
    provider: str | None = None
    model: str | None = None
    """The model that answered."""
    requested_model: str | None = None
    tokens: Tokens = NO_TOKENS
    cost: int | None = 0
    """Pico-USD; None: an attempt's price is unknown."""
    shadow_cost: int | None = None
    """Pico-USD that the answers of subscriptions would cost at API prices; None: unknown, or none was used."""
    price_version: str | None = None
    ttft_ms: float | None = None
    """From arrival to the first content byte towards the client."""
    duration_ms: float = 0.0
    overhead_ms: float | None = None
    """What LocalRouter itself took: duration less the time waiting for upstreams."""
    needs: Needs = Needs()
    plan_hash: str | None = None
    inputs: dict[str, int] = {}
    """Positions of the streams that the choice was made at: ``LR_CONFIG``, ``LR_HEALTH``."""
    excluded: tuple[Exclusion, ...] = ()
    held: str | None = None
    """The model that went first because it holds the conversation."""
    busy: dict[str, int] = {}
    """Requests in flight by model, where equals were ordered by them."""
    attempts: tuple[Attempt, ...] = ()
    tags: dict[str, str] = {}
    client: str | None = None
    """The caller's address."""
    client_request_id: str | None = None
    """The caller's own ``x-request-id``, which it may send twice: never an identity here."""
    withheld: int = 0
    """Refusals before a key was known that were not written because of the rate cap, counted up to this record."""


class UsageEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """What one message of ``LR_USAGE`` holds: at most 256 records or 512 KiB, as the gateway's journal gave them."""

    gateway: str
    position: str
    """The journal position of the first record, ``<segment>:<offset>``."""
    records: tuple[UsageRecord, ...]
    version: int = 1


_ENCODER: Final = msgspec.json.Encoder()
_RECORD: Final = msgspec.json.Decoder(UsageRecord)
_ENVELOPE: Final = msgspec.json.Decoder(UsageEnvelope)


def encode_record(record: UsageRecord) -> bytes:
    """Return a record as the JSON that travels and is kept."""
    return _ENCODER.encode(record)


def decode_record(raw: bytes) -> UsageRecord:
    """Read a record; raises ContractBroken."""
    try:
        return _RECORD.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ContractBroken(f"not a usage record: {error}") from error


def encode_usage_envelope(gateway: str, position: str, records: list[bytes]) -> bytes:
    """Return an envelope around records that are encoded already."""
    head = _ENCODER.encode({"version": 1, "gateway": gateway, "position": position})
    return b"".join((head[:-1], b',"records":[', b",".join(records), b"]}"))


def decode_usage_envelope(raw: bytes) -> UsageEnvelope:
    """Read an envelope; raises ContractBroken also for a version from the future."""
    try:
        envelope = _ENVELOPE.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ContractBroken(f"not a usage envelope: {error}") from error
    if envelope.version > 1:
        raise ContractBroken(f"usage envelope v{envelope.version} is newer than v1 known here")
    return envelope
