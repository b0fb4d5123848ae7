"""One attempt at one provider: translate, send, read, classify, and say what came of it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

import msgspec
import structlog

from services.providers.adapters.credentials import Credentials, Usable
from services.providers.adapters.http_answer import Answer, BrokenTwice
from services.providers.adapters.traffic import TrafficWatch
from services.providers.adapters.upstream import Upstream, endpoint, read_capped
from services.providers.domain.dialect import Answered, Outgoing, Reader, malformed, unsupported
from services.providers.domain.errors import UNREADABLE, clean, error_in_answer, failed, read_error
from services.providers.domain.plan_windows import spent
from services.providers.domain.registry import VENDORS
from services.providers.domain.resuming import Shown
from services.providers.domain.translate import translated
from services.providers.domain.vendor import Vendor
from services.providers.projections.providers import ProviderView
from shared.contracts.frames import Completion, Fail, FailureKind, Frame, Head, Tail
from shared.contracts.usage import Tokens
from shared.kernel.clock import Clock
from shared.runtime.watchdog import Watchdog

MAX_ANSWER: Final = 64 * 1024 * 1024
MAX_ERROR: Final = 64 * 1024
_ERROR_S: Final = 5.0
"""How long the body of an error is waited for."""
_LINGER_S: Final = 0.25
"""How long the end of a connection is waited for after the end of an answer, so that it can be used again."""
_ENCODE: Final = msgspec.json.Encoder().encode

log = structlog.get_logger("providers")


class LocalModel(Protocol):
    """The built-in model."""

    async def address(self) -> tuple[str, str]:
        """Return base URL and API key of the running model, starting it if need be; raises OSError, TimeoutError."""
        ...

    def using(self) -> contextlib.AbstractContextManager[None]:
        """Keep it from being stopped while a request runs."""
        ...


class UpstreamCompletions:
    """The ``Completions`` port over the vendors' HTTP APIs."""

    def __init__(
        self,
        *,
        find: Callable[[str], ProviderView | None],
        upstream: Upstream,
        credentials: Credentials,
        local_model: LocalModel | None,
        traffic: TrafficWatch,
        clock: Clock,
    ) -> None:
        self._find = find
        self._upstream = upstream
        self._credentials = credentials
        self._local_model = local_model
        self._traffic = traffic
        self._clock = clock

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        """Make one attempt; see ``Completions``."""
        view = self._find(request.provider_id)
        if view is None or not view.spec.enabled:
            yield _unavailable(f"provider {request.provider_id} is not here or not enabled")
            return
        vendor = VENDORS[view.spec.vendor]
        out = translated(request, vendor, int(self._clock.now().timestamp()))
        if isinstance(out, Fail):
            yield out
            return
        if isinstance(out, Answered):
            for frame in out.frames:
                yield frame
            return
        permit = self._traffic.admit(view)
        if permit is None:
            yield _unavailable(f"provider {view.spec.slug} failed too often and is left alone for a while")
            return
        outcome: Fail | Tail | None = None
        started = self._clock.monotonic()
        try:
            async with contextlib.aclosing(self._attempt(request, view, vendor, out)) as frames:
                async for frame in frames:
                    if isinstance(frame, Fail | Tail):
                        outcome = frame
                    yield frame
        finally:
            self._traffic.ended(view, permit, request, outcome, self._clock.monotonic() - started)

    async def _attempt(
        self, request: Completion, view: ProviderView, vendor: Vendor, out: Outgoing
    ) -> AsyncGenerator[Frame, None]:
        pinned = out.credential_id
        credential = await self._credentials.of(view, pinned) if vendor.credential != "none" else None
        if credential is None and pinned is not None:
            yield unsupported("previous_response_id", "The credential that the response before lies with is gone.")
            return
        if credential is None and (absent := self._no_credential(view, vendor)) is not None:
            yield absent
            return
        identity = credential.id if credential else None
        if out.bound is not None:
            out = out.bound(identity)
        limits = request.timeouts
        began = asyncio.get_running_loop().time()
        total_at = began + limits.total_ms / 1_000
        first_at = min(total_at, began + limits.first_token_ms / 1_000)
        watchdog = Watchdog()
        with self._in_use(vendor), contextlib.closing(watchdog):
            watchdog.arm(first_at if request.stream else total_at)
            try:
                response = await self._send(request, view, vendor, out, credential)
            except asyncio.CancelledError:
                if not watchdog.expired():
                    raise
                yield _not_sent(TimeoutError(), view, identity)
                return
            except OSError as error:
                yield _not_sent(error, view, identity)
                return
            watchdog.rest()
            ended = False
            if view.spec.subscription and identity is not None:
                plan = spent(response.headers, view.spec.options.plan_reserve, self._clock.now())
                if plan is not None:
                    self._credentials.cool(view, identity, plan.until, plan.reason)
            try:
                if response.status != 200:
                    yield await self._refused(response, view, credential, pinned=pinned is not None)
                    return
                if request.stream and response.content_type == "application/json":
                    yield await _no_stream(response)
                    return
                if credential is not None:
                    self._credentials.accepted(view, credential.id)
                yield Head(
                    status=200,
                    content_type=out.stream_type if request.stream else "application/json",
                    upstream_request_id=response.headers.get("x-request-id") or response.headers.get("request-id"),
                    credential_id=identity,
                    dropped_params=out.dropped,
                    resent=response.resent,
                )
                if not request.stream:
                    watchdog.arm(total_at)
                    frames = await _read_whole(response, out, watchdog)
                    watchdog.rest()
                    for frame in frames:
                        yield frame
                    return
                stream = _read_stream(
                    response,
                    out.reader(),
                    watchdog,
                    first_at=first_at,
                    idle_s=limits.idle_ms / 1_000,
                    total_at=total_at,
                )
                shown = Shown(request) if request.keep_partial else None
                async with contextlib.aclosing(stream) as frames:
                    async for frame in frames:
                        ended = isinstance(frame, Tail)
                        yield frame if shown is None else shown.seen(frame)
            finally:
                if ended and not response.at_eof():
                    await _linger(response)
                response.close()

    def _in_use(self, vendor: Vendor) -> contextlib.AbstractContextManager[None]:
        if vendor.slug == "local" and self._local_model is not None:
            return self._local_model.using()
        return contextlib.nullcontext()

    async def _send(
        self, request: Completion, view: ProviderView, vendor: Vendor, out: Outgoing, credential: Usable | None
    ) -> Answer:
        limits = request.timeouts
        base_url = view.spec.base_url
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if request.stream else "application/json",
            "accept-encoding": "identity",
            "user-agent": "LocalRouter",
            **vendor.headers,
            **out.headers,
            **view.spec.options.headers,
        }
        if request.idempotency_key is not None:
            headers["idempotency-key"] = request.idempotency_key
        if vendor.slug == "local":
            if self._local_model is None:
                raise OSError("the built-in model is not installed or switched off")
            base_url, key = await self._local_model.address()
            headers["authorization"] = f"Bearer {key}"
        elif credential is not None:
            headers[vendor.auth.header] = vendor.auth.value(credential.secret.reveal())
        return await self._upstream.send(
            "POST",
            endpoint(base_url, out.path),
            headers,
            _ENCODE(out.body),
            local=view.spec.local,
            connect_s=limits.connect_ms / 1_000,
            fresh=request.fresh,
        )

    async def _refused(self, response: Answer, view: ProviderView, credential: Usable | None, *, pinned: bool) -> Fail:
        failure = failed(
            response.status,
            await _error_body(response),
            response.headers,
            now=self._clock.now(),
            credential_id=credential.id if credential else None,
            secret=credential.secret.reveal() if credential else None,
        )
        if response.resent:
            failure = msgspec.structs.replace(failure, resent=True)
        if credential is None:
            return failure
        another = self._credentials.failed(view, credential, failure)
        return msgspec.structs.replace(failure, rotated=another and not pinned)

    def _no_credential(self, view: ProviderView, vendor: Vendor) -> Fail | None:
        """Return why a request without a credential is not sent; None: it needs none."""
        absent = None if vendor.credential == "none" else self._credentials.absent(view)
        if absent is None:
            missing = vendor.credential == "required"
            return _unavailable(f"provider {view.spec.slug} has no credential") if missing else None
        message = f"provider {view.spec.slug} has no credential to send now: {absent.reason}"
        wait = None if absent.until is None else absent.until - self._clock.now()
        wait_ms = None if wait is None else max(1, round(wait.total_seconds() * 1_000))
        return Fail(kind=FailureKind.UNAVAILABLE, message=message, retry_after_ms=wait_ms)


async def _no_stream(response: Answer) -> Fail:
    """Return the failure of a status 200 that is one JSON document where a stream was asked for."""
    body = await _error_body(response)
    with contextlib.suppress(*UNREADABLE):
        error = read_error(msgspec.json.decode(body))
        if error is not None:
            return error_in_answer(error)
    return malformed("the vendor did not stream")


async def _error_body(response: Answer) -> bytes:
    """Return the body of an error as far as it comes in time and within bounds."""
    body = bytearray()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_ERROR_S):
            while len(body) < MAX_ERROR and (data := await response.readany()):
                body += data
    return bytes(body[:MAX_ERROR])


async def _read_whole(response: Answer, out: Outgoing, watchdog: Watchdog) -> list[Frame]:
    try:
        body = await read_capped(response, MAX_ANSWER)
    except asyncio.CancelledError:
        if not watchdog.expired():
            raise
        return [_timed_out("the vendor's answer took longer than the total limit")]
    except OSError as error:
        return [Fail(kind=FailureKind.CUT, message=clean(f"the connection ended in the answer: {error}"))]
    if body is None:
        return [malformed("the vendor's answer is larger than 64 MiB")]
    return out.whole(body)


async def _read_stream(
    response: Answer,
    reader: Reader,
    watchdog: Watchdog,
    *,
    first_at: float,
    idle_s: float,
    total_at: float,
) -> AsyncGenerator[Frame, None]:
    """Read until the answer is over; until the model has begun ``first_at`` limits, then silence does."""
    clock = asyncio.get_running_loop().time
    while True:
        watchdog.arm(min(clock() + idle_s, total_at) if reader.alive else first_at)
        try:
            data = await response.readany()
        except asyncio.CancelledError:
            if not watchdog.expired():
                raise
            what = "silence, or the total limit" if reader.alive else "no token in time"
            yield _timed_out(f"the vendor's stream: {what}", reader.tokens())
            return
        except OSError as error:
            for frame in _cut(reader, error):
                yield frame
            return
        finally:
            watchdog.rest()
        frames = reader.feed(data) if data else reader.finish()
        for frame in frames:
            if isinstance(frame, Tail | Fail):
                yield frame
                return
            yield frame


def _cut(reader: Reader, error: Exception) -> list[Frame]:
    """Return what is left where a connection broke: an answer that had all its parts is whole all the same."""
    *rest, last = reader.finish()
    if isinstance(last, Tail):
        return [*rest, last]
    message = clean(f"the connection ended in the stream: {error}")
    return [*rest, Fail(kind=FailureKind.CUT, message=message, tokens=reader.tokens())]


async def _linger(response: Answer) -> None:
    """Take the end of a chunked body, which mostly is there already: only then is the connection used again."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_LINGER_S):
            await response.readany()


def _unavailable(message: str) -> Fail:
    return Fail(kind=FailureKind.UNAVAILABLE, message=message)


def _timed_out(message: str, tokens: Tokens | None = None) -> Fail:
    return Fail(kind=FailureKind.TIMEOUT, message=message, tokens=tokens or Tokens())


def _not_sent(error: Exception, view: ProviderView, credential_id: str | None) -> Fail:
    """Return the failure of a request that got no answer."""
    kind = FailureKind.TIMEOUT if isinstance(error, TimeoutError) else FailureKind.CONNECT
    what = "did not answer in time" if kind is FailureKind.TIMEOUT else f"cannot be reached: {error}"
    return Fail(
        kind=kind,
        message=clean(f"provider {view.spec.slug} {what}"),
        credential_id=credential_id,
        resent=isinstance(error, BrokenTwice),
    )
