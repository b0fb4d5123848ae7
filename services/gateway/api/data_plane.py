"""The data plane: raw ASGI, read top to bottom, nothing hidden in middleware."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from services.gateway.api.answers import header_value
from services.gateway.api.body import read_body
from services.gateway.api.exchange import Exchange
from services.gateway.api.leaving import ClientWatch
from services.gateway.api.models import SHOW, answer_models, is_list
from services.gateway.api.walk import Walk
from services.gateway.domain.affinity import Conversations, conversation_of
from services.gateway.domain.asked import continuing, includes_usage, parse, passed_on
from services.gateway.domain.authentication import comes_bare, credential, digest
from services.gateway.domain.destination import merge, requested_names, resolve
from services.gateway.domain.errors import ApiError, bad_request, forbidden, invalid_api_key, no_candidate
from services.gateway.domain.faces.face import Face, Route, streams
from services.gateway.domain.faces.registry import ROUTES, face_of
from services.gateway.domain.key import KeyState
from services.gateway.domain.retry_budget import RetryBudgets
from services.gateway.projections.keys import KeyRing, KnownKey
from services.gateway.projections.routes import Catalog, Health, Plans
from shared.contracts.frames import Completions
from shared.contracts.plan import Plan
from shared.contracts.usage import Exclusion, RequestStatus
from shared.kernel.clock import Clock
from shared.kernel.ids import NewId, is_uuid
from shared.routing.choose import Choice, Warm, choose, one_model
from shared.routing.needs import needs_of
from shared.runtime.asgi import Receive, Scope, Send, headers_of

log = structlog.get_logger("gateway")

Sent = Mapping[bytes, bytes]
"""The headers of a request, by name in lower case."""

_MAX_DESTINATIONS: Final = 10_000
_LONGEST_NAMES: Final = 1_024
"""Characters of the names in a request whose destination is remembered."""


class Journal(Protocol):
    """Where records go: on disk when a call returns."""

    @property
    def full(self) -> bool:
        """Whether nothing more can be taken."""
        ...

    def opened(self, request_id: str, opened: bytes) -> None:
        """Before the first upstream byte."""
        ...

    def closed(self, request_id: str, record: bytes) -> None:
        """Before the terminal frame."""
        ...


class Peppers(Protocol):
    """The peppers that live keys were digested under."""

    def all(self) -> Mapping[str, bytes]:
        """Return them by id."""
        ...


class DataPlane:
    """Everything that clients ask: ``/v1`` and ``/api``."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        peppers: Peppers,
        plans: Plans,
        catalog: Catalog,
        health: Health,
        completions: Completions,
        journal: Journal,
        refusals: "RefusalCap",
        clock: Clock,
        new_id: NewId,
        max_body_bytes: int,
        body_timeout_s: float,
        positions: Callable[[], dict[str, int]],
        loopback_key: str = "",
    ) -> None:
        """``positions``: of the streams that a choice is made at; ``loopback_key``: name of the key that callers on
        this machine have where they can send none."""
        self._keys = keys
        self._peppers = peppers
        self._plans = plans
        self._catalog = catalog
        self._health = health
        self._completions = completions
        self._journal = journal
        self._refusals = refusals
        self._clock = clock
        self._new_id = new_id
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._positions = positions
        self._loopback_key = loopback_key
        self._conversations = Conversations()
        self._budgets = RetryBudgets()
        self._in_flight: dict[str, int] = {}
        """Requests that a model is answering for this gateway, by model."""
        self._answered: dict[str, float] = {}
        """When local models answered last, on the monotonic clock."""
        self._destinations: dict[tuple[str, str, bool], Plan] = {}
        """By key, names in the request, and whether it asks for vectors."""
        self._warm = Warm()
        self._derived_from = (0, 0, 0)
        self.draining = False
        """Shutting down: what runs may end, nothing new begins."""
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a client's."""
        path: str = scope["path"]
        face, route = ROUTES.get(path) or (face_of(path, scope["headers"]), None)
        exchange = Exchange(
            identity=self._new_id(),
            time=self._clock.now(),
            started=self._clock.monotonic(),
            endpoint=path,
            face=face,
            route=route,
            send=send,
            opened=self._journal.opened,
            closed=self._journal.closed,
        )
        self.running += 1
        try:
            await self._serve(path, exchange, scope, receive)
        except ApiError as error:
            await self._answer_error(exchange, error)
        except Exception:  # the outermost loop: the client gets an answer and the record is closed
            log.exception("request broke", request_id=exchange.id, path=path)
            broken = ApiError(500, "internal_error", "LocalRouter failed on this request.", kind="server_error")
            await self._answer_error(exchange, broken)
        finally:
            self.running -= 1

    async def _serve(self, path: str, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        headers = headers_of(scope)
        request_id = headers.get(b"x-request-id")
        if request_id is not None and is_uuid(request_id.decode("latin-1")):
            exchange.client_request_id = request_id.decode("latin-1")
        client = scope.get("client")
        exchange.client = client[0] if client else None
        if exchange.route is not None:
            _allow_methods(scope, "POST")
            exchange.key = key = self.authenticate(scope, exchange)
            await self._complete(exchange, exchange.route, key, scope, headers, receive)
        elif is_list(path):
            _allow_methods(scope, *(("POST",) if path == SHOW else ("GET", "HEAD")))
            exchange.key = key = self.authenticate(scope, exchange)
            body = await self._body(key, headers, scope, receive) if path == SHOW else b""
            await answer_models(path, body, key, exchange, self._plans, self._catalog)
        else:
            raise ApiError(404, "unknown_url", f"Unknown request URL: {scope['method']} {path}.")

    def authenticate(self, scope: Scope, exchange: Exchange) -> KnownKey:
        """Return the key of a request; raises ApiError 401 (unknown) or 403 (disabled, expired, not from here)."""
        now = exchange.arrived
        known = self._named(scope, exchange.face, now)
        if known is None:
            raise invalid_api_key()
        options = known.options
        if known.frozen is not None:
            raise forbidden("key_disabled", "This key's configuration does not read; ask the operator.")
        if known.key.state is not KeyState.ENABLED:
            raise forbidden("key_disabled", "This key is disabled.")
        if options.expires_at is not None and options.expires_at <= now:
            raise forbidden("key_expired", "This key has expired.")
        if options.networks:
            client = scope.get("client")
            if not known.admits_address(client[0] if client else None):
                raise forbidden("network_not_allowed", "This key may not be used from this address.")
        if options.endpoints and not any(scope["path"].startswith(allowed) for allowed in options.endpoints):
            raise forbidden("endpoint_not_allowed", f"This key may not use {scope['path']}.")
        return known

    def _named(self, scope: Scope, face: Face, now: datetime) -> KnownKey | None:
        token = credential(scope["headers"], face.key_headers)
        if token is not None:
            for pepper in self._peppers.all().values():
                known = self._keys.find(digest(token, pepper), now)
                if known is not None:
                    return known
        elif face.keyless and self._loopback_key:
            client = scope.get("client")
            if comes_bare(scope["headers"], client[0] if client else None):
                return self._keys.named(self._loopback_key)
        return None

    async def _body(self, key: KnownKey, headers: Sent, scope: Scope, receive: Receive) -> bytes:
        limit = min(key.options.max_body_bytes or self._max_body_bytes, self._max_body_bytes)
        return await read_body(headers, scope, receive, limit, self._body_timeout_s)

    async def _complete(
        self, exchange: Exchange, route: Route, key: KnownKey, scope: Scope, sent: Sent, receive: Receive
    ) -> None:
        if self.draining:
            raise ApiError(503, "shutting_down", "LocalRouter is shutting down.", kind="server_error")
        if self._journal.full:
            raise ApiError(503, "journal_full", "The usage journal is full: the log is away.", kind="server_error")
        options = key.options
        body = parse(await self._body(key, sent, scope, receive), route)
        names = requested_names(body)
        exchange.requested_model = ",".join(names)
        exchange.stream = streams(route, body)
        exchange.tags = {**options.tags, **_tags(sent.get(b"x-localrouter-tags"))}
        exchange.plan = plan = self._destination(key, names, route, body)
        exchange.needs = needs_of(body, route.dialect)
        conversation = conversation_of(body, route.dialect, key.id, plan.slug) if plan.affinity else None
        choice = self._choose(exchange, plan, conversation)
        if options.policies.unpriced == "refuse" and route.billed:
            choice = _priced(choice)
        exchange.note_choice(choice, self._positions())
        if not choice.order:
            raise no_candidate(_why_nobody(choice.excluded))
        asked = {
            "dialect": route.dialect,
            "body": body,
            "stream": exchange.stream,
            "include_usage": includes_usage(body),
            "drop_params": options.policies.drop_params,
            "idempotency_key": _text(sent.get(b"idempotency-key")),
            "headers": passed_on(scope["headers"], exchange.face.passed_headers),
        }
        headers = exchange.id_headers()
        if plan.slug:
            headers.append((b"x-localrouter-router", header_value(plan.slug)))
        walk = Walk(
            exchange,
            choice,
            plan,
            asked,
            completions=self._completions,
            clock=self._clock,
            cool=self._cool,
            in_flight=self._in_flight,
            answered=self._answered,
            budgets=self._budgets,
            headers=headers,
            until=self._clock.monotonic() + _total_ms(sent, plan) / 1000,
        )
        try:
            await self._watched(walk, exchange, ClientWatch(receive, asyncio.current_task()))
        finally:
            if conversation is not None and exchange.first_content is not None:
                self._conversations.answered(conversation, exchange.attempts[-1].model, self._clock.monotonic())

    def _choose(self, exchange: Exchange, plan: Plan, conversation: bytes | None) -> Choice:
        held = None if conversation is None else self._conversations.holder(conversation, self._clock.monotonic())
        return choose(
            plan,
            exchange.needs,
            self._health.states,
            now=exchange.arrived,
            request_id=exchange.id,
            in_flight=self._in_flight,
            held=held,
            warm=self._warm,
        )

    async def _watched(self, walk: Walk, exchange: Exchange, watch: ClientWatch) -> None:
        """Run the walk; a client that leaves cancels it."""
        watch.begin()
        try:
            await walk.run()
        except asyncio.CancelledError:
            now = self._clock.monotonic()
            if not watch.left:
                exchange.close("interrupted", None, "shutdown", now)
                raise
            exchange.close("cancelled", 499, "client_closed_request", now)
        finally:
            watch.end()

    def _cool(self, provider_id: str, for_ms: int) -> None:
        self._health.cool(provider_id, self._clock.now() + timedelta(milliseconds=for_ms))

    def _destination(self, key: KnownKey, names: list[str], route: Route, body: dict[str, Any]) -> Plan:
        derived_from = (self._keys.generation, self._plans.generation, self._catalog.generation)
        if derived_from != self._derived_from or len(self._destinations) > _MAX_DESTINATIONS:
            self._destinations.clear()
            self._warm.forget()
            self._derived_from = derived_from
        asked = (key.id, "\n".join(names), route.vectors)
        plan = self._destinations.get(asked)
        if plan is None:
            plans = [resolve(name, key, key.options.target, self._plans, self._catalog) for name in names]
            plan = plans[0] if len(plans) == 1 else merge(plans)
            plan = one_model(plan) if route.vectors else plan
            if len(asked[1]) <= _LONGEST_NAMES:
                self._destinations[asked] = plan
        previous = body.get("previous_response_id") if route.continues else None
        return plan if previous is None else continuing(plan, previous)

    async def _answer_error(self, exchange: Exchange, error: ApiError) -> None:
        now = self._clock.monotonic()
        if exchange.key is None and not self._refusals.take(now):
            await exchange.answer_error(error, [])
            return
        status: RequestStatus = "failed" if exchange.attempts else "refused"
        exchange.withheld = self._refusals.withheld() if exchange.key is None else 0
        exchange.close(status, error.status, error.code, now)
        extra = [(b"x-localrouter-attempts", str(len(exchange.attempts)).encode())] if exchange.attempts else []
        await exchange.answer_error(error, extra)


class RefusalCap:
    """Caps how many refusals without a key are recorded: a flood of wrong keys must not fill the log."""

    def __init__(self, per_second: float = 10.0) -> None:
        self._rate = per_second
        self._left = per_second
        self._at = 0.0
        self._withheld = 0

    def take(self, now: float) -> bool:
        """Whether one more may be recorded at monotonic time ``now``."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self._withheld += 1
            return False
        self._left -= 1
        return True

    def withheld(self) -> int:
        """Return how many were not recorded since the last call."""
        count, self._withheld = self._withheld, 0
        return count


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _tags(value: bytes | None) -> dict[str, str]:
    """Read ``x-localrouter-tags: a=b,c=d``; what is no pair is left out."""
    if value is None:
        return {}
    pairs = (item.partition("=") for item in value.decode("latin-1")[:1024].split(","))
    return {name.strip(): text.strip() for name, sign, text in pairs if sign and name.strip()}


def _total_ms(sent: Sent, plan: Plan) -> int:
    value = sent.get(b"x-localrouter-timeout-ms")
    if value is None:
        return plan.fallback.total_ms
    if not value.isdigit() or len(value) > 18 or int(value) == 0:
        raise bad_request("x-localrouter-timeout-ms must be a positive whole number.", code="invalid_header")
    return min(int(value), plan.fallback.total_ms)


def _allow_methods(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        allow = ((b"allow", ", ".join(methods).encode()),)
        message = f"{scope['path']} takes {' or '.join(methods)}, not {scope['method']}."
        raise ApiError(405, "method_not_allowed", message, headers=allow)


def _priced(choice: Choice) -> Choice:
    """Return the choice without candidates whose price is unknown."""
    unpriced = [item for item in choice.order if item.prices is None]
    excluded = [Exclusion(provider=item.provider, model=item.model, cause="unpriced") for item in unpriced]
    order = tuple(item for item in choice.order if item.prices is not None)
    return replace(choice, order=order, excluded=(*choice.excluded, *excluded))


def _why_nobody(excluded: tuple[Any, ...]) -> str:
    if not excluded:
        return "No model is available on this route."
    causes = "; ".join(f"{item.model}: {item.cause}" + (f" {item.value}" if item.value else "") for item in excluded)
    return f"No model of this route can take the request now. {causes}"
