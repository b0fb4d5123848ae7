"""The access log's lines: who asked which model, how it went and what it cost; never a body, never a secret."""

from typing import Final

import msgspec

from shared.contracts.usage import UsageRecord
from shared.kernel.money import format_usd

_ENCODER: Final = msgspec.json.Encoder()


class _Counts(msgspec.Struct, frozen=True, gc=False):
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int


class _Line(msgspec.Struct, frozen=True, gc=False):
    time: str
    key: str | None
    provider: str | None
    model: str | None
    status: str
    tokens: _Counts
    cost_usd: str | None
    duration_ms: float
    ttft_ms: float | None
    request_id: str
    router: str | None
    endpoint: str
    http_status: int | None
    error_code: str | None


def access_line(record: UsageRecord) -> bytes:
    """Return one line of JSON, its newline included."""
    tokens = record.tokens
    line = _Line(
        record.time,
        record.key_name,
        record.provider,
        record.model,
        record.status,
        _Counts(tokens.input, tokens.cached, tokens.cache_write, tokens.output, tokens.reasoning),
        None if record.cost is None else format_usd(record.cost),
        record.duration_ms,
        record.ttft_ms,
        record.id,
        record.router,
        record.endpoint,
        record.http_status,
        record.error_code,
    )
    return _ENCODER.encode(line) + b"\n"
