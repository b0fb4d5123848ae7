"""Usage records and messages to make tests of, with everything in them that may matter."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from shared.contracts.usage import Attempt, Tokens, UsageRecord, encode_record, encode_usage_envelope
from shared.kernel.clock import rfc3339
from shared.kernel.ids import uuid7
from shared.log.port import LR_USAGE, Recorded

NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def attempt(model: str = "openai/gpt", outcome: str = "succeeded", **changes: Any) -> Attempt:
    """Return an attempt at ``<provider>/<model>``: 10 tokens in, 5 out, a micro-dollar."""
    usual = Attempt(
        id=f"attempt-{model}-{outcome}",
        provider_id=f"id-of-{model.split('/')[0]}",
        provider=model.split("/")[0],
        model=model,
        outcome=outcome,
        started_at=rfc3339(NOON),
        duration_ms=299.3,
        http_status=200,
        tokens=Tokens(input=10, output=5, source="provider"),
        cost=1_000_000,
        price_version="2026-03",
    )
    return msgspec.structs.replace(usual, **changes)


def usage_record(number: int = 1, *attempts: Attempt, **changes: Any) -> UsageRecord:
    """Return the record of the request ``number``, a second after the one before; totals are those of ``attempts``."""
    moment = NOON + timedelta(seconds=number)
    tried = attempts or (attempt(),)
    costs = [each.cost for each in tried]
    shadows = [each.shadow_cost for each in tried if each.shadow_cost is not None]
    usual = UsageRecord(
        id=uuid7(int(moment.timestamp() * 1000), number.to_bytes(10, "big")),
        time=rfc3339(moment),
        status="succeeded",
        endpoint="/v1/chat/completions",
        dialect="openai_chat",
        http_status=200,
        key_id="key-1",
        key_name="editor",
        router="minimum-cost",
        provider=tried[-1].provider,
        model=tried[-1].model,
        requested_model="auto",
        tokens=Tokens(
            input=sum(each.tokens.input for each in tried),
            cached=sum(each.tokens.cached for each in tried),
            cache_write=sum(each.tokens.cache_write for each in tried),
            output=sum(each.tokens.output for each in tried),
            reasoning=sum(each.tokens.reasoning for each in tried),
            source="provider",
        ),
        cost=None if None in costs else sum(cost or 0 for cost in costs),
        shadow_cost=sum(shadows) if shadows else None,
        price_version="2026-03",
        ttft_ms=120.0,
        duration_ms=300.0,
        overhead_ms=0.7,
        attempts=tried,
    )
    return msgspec.structs.replace(usual, **changes)


def usage_payload(records: Sequence[UsageRecord], *, gateway: str = "gateway-1", position: str = "0:0") -> bytes:
    """Return a message of ``LR_USAGE`` that holds ``records``."""
    return encode_usage_envelope(gateway, position, [encode_record(record) for record in records])


def usage_message(sequence: int, *records: UsageRecord) -> Recorded:
    """Return a stored message that holds ``records``."""
    return Recorded(LR_USAGE, "lr.usage.gateway-1", sequence, usage_payload(records, position=f"0:{sequence}"))
