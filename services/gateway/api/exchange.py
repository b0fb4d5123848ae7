"""One request as the client saw it: what it asked, what was tried, and the one record that is left of it."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from services.gateway.domain.accounting import (
    cost_of,
    shadow_cost_of,
    total_cost,
    total_shadow_cost,
    total_tokens,
)
from services.gateway.domain.errors import ApiError
from services.gateway.domain.faces.face import Face, Route
from services.gateway.domain.opened import Opened, encode_opened
from services.gateway.projections.keys import KnownKey
from shared.contracts.frames import Fail, FailureKind
from shared.contracts.plan import Candidate, Plan
from shared.contracts.usage import (
    NO_TOKENS,
    Attempt,
    Exclusion,
    Needs,
    RequestStatus,
    Tokens,
    UsageRecord,
    encode_record,
)
from shared.kernel.clock import rfc3339
from shared.routing.choose import Choice
from shared.runtime.asgi import Message, Send

_NO_NEEDS: Final = Needs()

Write = Callable[[str, bytes], None]
"""Writes to the journal, under a request's id."""


class Exchange:
    """Gathers what becomes the usage record, and sees to it that there is exactly one."""

    __slots__ = (
        "_closed",
        "_opened",
        "_recorded",
        "_started",
        "arrived",
        "attempts",
        "busy",
        "client",
        "client_request_id",
        "delivered",
        "dialect",
        "endpoint",
        "excluded",
        "face",
        "first_content",
        "held",
        "id",
        "inputs",
        "key",
        "last_sent",
        "needs",
        "plan",
        "requested_model",
        "response_started",
        "route",
        "send",
        "shown",
        "stream",
        "tags",
        "time",
        "upstream_s",
        "withheld",
    )

    def __init__(
        self,
        *,
        identity: str,
        time: datetime,
        started: float,
        endpoint: str,
        face: Face,
        route: Route | None,
        send: Send,
        opened: Write,
        closed: Write,
    ) -> None:
        """``time`` is when it arrived, ``started`` the same on the monotonic clock; ``route``: None asks no model."""
        self.id = identity
        self.time = rfc3339(time)
        self.arrived = time
        self.endpoint = endpoint
        self.face = face
        self.route = route
        self.dialect = route.dialect if route else ""
        self.send = send
        self.stream = False
        self.key: KnownKey | None = None
        self.plan: Plan | None = None
        self.requested_model: str | None = None
        self.needs = _NO_NEEDS
        self.inputs: dict[str, int] = {}
        self.excluded: tuple[Exclusion, ...] = ()
        self.held: str | None = None
        self.busy: dict[str, int] = {}
        self.attempts: list[Attempt] = []
        self.tags: dict[str, str] = {}
        self.client: str | None = None
        self.client_request_id: str | None = None
        self.first_content: float | None = None
        self.delivered = 0
        """Events with content that came from the present attempt."""
        self.last_sent = b""
        """The last events of the stream that the client has."""
        self.response_started = False
        self.shown = False
        """Whether the client has content of a stream."""
        self.withheld = 0
        self.upstream_s = 0.0
        """Seconds spent waiting for upstreams."""
        self._started = started
        self._opened = opened
        self._closed = closed
        self._recorded = False

    @property
    def public_id(self) -> bytes:
        """What ``x-request-id`` says: the client's own id where it sent one."""
        return (self.client_request_id or self.id).encode()

    def id_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that tell the request's id."""
        return [(name, self.public_id) for name in self.face.id_headers]

    def note_choice(self, choice: Choice, inputs: dict[str, int]) -> None:
        """Note what was chosen and what the choice was made from, so that it can be derived again."""
        self.inputs = inputs
        self.excluded = choice.excluded
        self.held = choice.held
        self.busy = dict(choice.busy or {})

    def _cost(self, tokens: Tokens, candidate: Candidate) -> int | None:
        return 0 if self.route is not None and not self.route.billed else cost_of(tokens, candidate, self.arrived)

    def open(self, candidate: Candidate, attempt_id: str) -> None:
        """Journal that ``candidate`` is about to be asked: what the record is if this process dies now.

        Raises ApiError where that cannot be written.
        """
        key, plan = self.key, self.plan
        opened = Opened(
            id=self.id,
            time=self.time,
            endpoint=self.endpoint,
            dialect=self.dialect,
            stream=self.stream,
            key_id=key.id if key else None,
            key_name=key.options.name if key else None,
            router=(plan.slug or None) if plan else None,
            requested_model=self.requested_model,
            plan_hash=(plan.hash or None) if plan else None,
            attempt_id=attempt_id,
            provider_id=candidate.provider_id,
            provider=candidate.provider,
            model=candidate.model,
            price_version=candidate.price_version,
            cost=self._cost(self.estimated_tokens(), candidate),
            needs=self.needs,
            attempts=self.attempts,
            tags=self.tags,
            client=self.client,
            client_request_id=self.client_request_id,
        )
        try:
            self._opened(self.id, encode_opened(opened))
        except OSError as error:
            message = f"Usage cannot be written to disk ({error.strerror}), so nothing was asked."
            raise ApiError(503, "journal_full", message, kind="server_error") from error

    def settle(
        self,
        attempt_id: str,
        candidate: Candidate,
        outcome: str,
        started_at: str,
        duration_s: float,
        tokens: Tokens,
        *,
        http_status: int | None = None,
        error_code: str | None = None,
        credential_id: str | None = None,
        resumed: bool = False,
        resent: bool = False,
    ) -> None:
        """Add what became of one attempt."""
        if self.route is not None and not self.route.billed:
            tokens = NO_TOKENS
        self.attempts.append(
            Attempt(
                id=attempt_id,
                provider_id=candidate.provider_id,
                provider=candidate.provider,
                model=candidate.model,
                outcome=outcome,
                started_at=started_at,
                duration_ms=round(duration_s * 1000, 3),
                http_status=http_status,
                error_code=error_code,
                credential_id=credential_id,
                tokens=tokens,
                cost=self._cost(tokens, candidate),
                shadow_cost=shadow_cost_of(tokens, candidate, self.arrived),
                price_version=candidate.price_version,
                resumed=resumed,
                resent=resent,
            )
        )

    def settle_failed(
        self,
        attempt_id: str,
        candidate: Candidate,
        fail: Fail,
        started_at: str,
        duration_s: float,
        *,
        resumed: bool = False,
        resent: bool = False,
    ) -> None:
        """Add an attempt that failed; what it delivered before is counted where the vendor did not say."""
        tokens = fail.tokens
        if tokens.source == "none" and self.delivered:
            tokens = self.estimated_tokens()
        self.settle(
            attempt_id,
            candidate,
            "cancelled" if fail.kind is FailureKind.CANCELLED else fail.kind.value,
            started_at,
            duration_s,
            tokens,
            http_status=fail.http_status,
            error_code=fail.code,
            credential_id=fail.credential_id,
            resumed=resumed,
            resent=resent,
        )

    def estimated_tokens(self) -> Tokens:
        """Return what an attempt used at least, when the vendor cannot say any more."""
        return Tokens(input=self.needs.input_tokens, output=self.delivered, source="estimated")

    def close(self, status: RequestStatus, http_status: int | None, error_code: str | None, now: float) -> None:
        """Write the record; only the first call does."""
        if self._recorded:
            return
        self._recorded = True
        record = self._record(status, http_status, error_code, now - self._started)
        self._closed(self.id, encode_record(record))

    def cost(self) -> int | None:
        """Return what it cost so far in pico-USD; None: unknown."""
        return total_cost(self.attempts)

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer."""
        self.response_started = True
        message: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await self.send(message)

    async def answer_error(self, error: ApiError, extra: list[tuple[bytes, bytes]]) -> None:
        """Send an error: as the whole answer, or as the last event of a running stream."""
        if self.response_started:
            event = self.face.error_event(error, self.public_id.decode(), self.last_sent)
            await self.send({"type": "http.response.body", "body": event})
            return
        body = self.face.error_body(error, self.public_id.decode())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *self.id_headers(),
            *error.headers(),
            *extra,
        ]
        await self.start(error.status, headers)
        await self.send({"type": "http.response.body", "body": body})

    def _record(
        self,
        status: RequestStatus,
        http_status: int | None,
        error_code: str | None,
        duration_s: float,
    ) -> UsageRecord:
        key, plan, attempts = self.key, self.plan, self.attempts
        last = attempts[-1] if attempts else None
        first_content = self.first_content
        return UsageRecord(
            id=self.id,
            time=self.time,
            status=status,
            endpoint=self.endpoint,
            dialect=self.dialect,
            stream=self.stream,
            http_status=http_status,
            error_code=error_code,
            key_id=key.id if key else None,
            key_name=key.options.name if key else None,
            router=(plan.slug or None) if plan else None,
            provider=last.provider if last else None,
            model=last.model if last else None,
            requested_model=self.requested_model,
            tokens=total_tokens(attempts) if attempts else NO_TOKENS,
            cost=total_cost(attempts),
            shadow_cost=total_shadow_cost(attempts),
            price_version=last.price_version if last else None,
            ttft_ms=None if first_content is None else round((first_content - self._started) * 1000, 3),
            duration_ms=round(duration_s * 1000, 3),
            overhead_ms=round(max(0.0, duration_s - self.upstream_s) * 1000, 3),
            needs=self.needs,
            plan_hash=(plan.hash or None) if plan else None,
            inputs=self.inputs,
            excluded=self.excluded,
            held=self.held,
            busy=self.busy,
            attempts=tuple(attempts),
            tags=self.tags,
            client=self.client,
            client_request_id=self.client_request_id,
            withheld=self.withheld,
        )
