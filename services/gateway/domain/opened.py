"""What the journal knows of a request before its first upstream byte: enough to account for it, come what may."""

from typing import Final

import msgspec

from services.gateway.domain.accounting import total_cost, total_tokens
from shared.contracts.usage import Attempt, Needs, Tokens, UsageRecord, encode_record
from shared.kernel.errors import ContractBroken


class Opened(msgspec.Struct, array_like=True):
    """A request on its way to a candidate; written for every request, so an array that holds no more than needed."""

    id: str
    time: str
    endpoint: str
    dialect: str
    stream: bool
    key_id: str | None
    key_name: str | None
    router: str | None
    requested_model: str | None
    plan_hash: str | None
    attempt_id: str
    provider_id: str
    provider: str
    model: str
    price_version: str | None
    cost: int | None
    """Of the estimated input, in pico-USD; None: unknown."""
    needs: Needs
    attempts: list[Attempt]
    """Those that ended before."""
    tags: dict[str, str]
    client: str | None
    client_request_id: str | None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Opened)


def encode_opened(opened: Opened) -> bytes:
    """Return it as the journal keeps it."""
    return _ENCODER.encode(opened)


def interrupted(raw: bytes) -> bytes:
    """Return the record of a request that was opened and never closed; raises ContractBroken."""
    try:
        opened = _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractBroken(f"not an opened request: {error}") from error
    tokens = Tokens(input=opened.needs.input_tokens, source="estimated")
    last = Attempt(
        id=opened.attempt_id,
        provider_id=opened.provider_id,
        provider=opened.provider,
        model=opened.model,
        outcome="interrupted",
        started_at=opened.time,
        duration_ms=0.0,
        tokens=tokens,
        cost=opened.cost,
        price_version=opened.price_version,
    )
    attempts = (*opened.attempts, last)
    return encode_record(
        UsageRecord(
            id=opened.id,
            time=opened.time,
            status="interrupted",
            error_code="interrupted",
            endpoint=opened.endpoint,
            dialect=opened.dialect,
            stream=opened.stream,
            key_id=opened.key_id,
            key_name=opened.key_name,
            router=opened.router,
            provider=opened.provider,
            model=opened.model,
            requested_model=opened.requested_model,
            tokens=total_tokens(attempts),
            cost=total_cost(attempts),
            price_version=opened.price_version,
            needs=opened.needs,
            plan_hash=opened.plan_hash,
            attempts=attempts,
            tags=opened.tags,
            client=opened.client,
            client_request_id=opened.client_request_id,
        )
    )
