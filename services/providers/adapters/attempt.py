"""One attempt at a vendor, once it was let through: send, read, classify; frames come as the vendor's answer does."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from services.providers.adapters.credentials import Credentials, Usable
from services.providers.adapters.http_answer import Answer, BrokenTwice
from services.providers.adapters.upstream import Upstream, endpoint, read_capped
from services.providers.domain.dialect import Outgoing, Reader, malformed, unsupported
from services.providers.domain.errors import UNREADABLE, clean, error_in_answer, failed, read_error
from services.providers.domain.plan_windows import spent
from services.providers.domain.resuming import Shown
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


class LocalModel(Protocol):
    """The built-in model."""

    async def address(self) -> tuple[str, str]:
        """Return base URL and API key of the running model, starting it if need be; raises OSError, TimeoutError."""
        ...

    def using(self) -> contextlib.AbstractContextManager[None]:
        """Keep it from being stopped while a request runs."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """What attempts are made with."""

    upstream: Upstream
    credentials: Credentials
    local_model: LocalModel | None
    clock: Clock


class Attempt:
    """One request on its way to a vendor and back. Ask for ``frames`` until the last one ends it, then ``close``."""

    __slots__ = (
        "_answer",
        "_began",
        "_credential",
        "_ended",
        "_out",
        "_reader",
        "_request",
        "_shown",
        "_vendor",
        "_view",
        "_watchdog",
        "_ways",
    )

    def __init__(self, request: Completion, view: ProviderView, vendor: Vendor, out: Outgoing, ways: Ways) -> None:
        self._request = request
        self._view = view
        self._vendor = vendor
        self._out = out
        self._ways = ways
        self._credential: Usable | None = None
        self._answer: Answer | None = None
        self._reader: Reader | None = None
        self._shown = Shown(request) if request.keep_partial and request.stream else None
        self._ended = False
        self._watchdog = Watchdog()
        self._began = self._watchdog.now()

    async def frames(self) -> list[Frame]:
        """Return what comes next: a ``Head`` or a ``Fail`` alone; then ``Data``, a ``Tail`` or ``Fail`` the last."""
        if self._answer is None:
            return [await self._head()]
        if not self._request.stream:
            return await self._whole(self._answer)
        frames = await self._part(self._answer)
        self._ended = bool(frames) and isinstance(frames[-1], Tail)
        return frames if self._shown is None else [self._shown.seen(frame) for frame in frames]

    async def close(self) -> None:
        """Be done: the connection is used again where the answer came whole, else it ends, and so does the vendor."""
        self._watchdog.close()
        answer = self._answer
        if answer is not None:
            try:
                if self._ended and not answer.at_eof():
                    await _linger(answer)
            finally:
                answer.close()

    @property
    def _total_at(self) -> float:
        return self._began + self._request.timeouts.total_ms / 1_000

    @property
    def _first_at(self) -> float:
        return min(self._total_at, self._began + self._request.timeouts.first_token_ms / 1_000)

    async def _head(self) -> Head | Fail:
        request, view, out, credentials = self._request, self._view, self._out, self._ways.credentials
        pinned = out.credential_id
        needs_one = self._vendor.credential != "none"
        self._credential = credential = await credentials.of(view, pinned) if needs_one else None
        if credential is None and pinned is not None:
            return unsupported("previous_response_id", "The credential that the response before lies with is gone.")
        if credential is None and needs_one and (absent := self._no_credential()) is not None:
            return absent
        identity = credential.id if credential else None
        if out.bound is not None:
            self._out = out = out.bound(identity)
        self._watchdog.arm(self._first_at if request.stream else self._total_at)
        try:
            self._answer = answer = await self._send()
        except asyncio.CancelledError:
            if not self._watchdog.expired():
                raise
            return _not_sent(TimeoutError(), view, identity)
        except OSError as error:
            return _not_sent(error, view, identity)
        self._watchdog.rest()
        if view.spec.subscription and identity is not None:
            plan = spent(answer.headers, view.spec.options.plan_reserve, self._ways.clock.now())
            if plan is not None:
                credentials.cool(view, identity, plan.until, plan.reason)
        if answer.status != 200:
            return await self._refused(answer)
        if request.stream and answer.content_type == "application/json":
            return await _no_stream(answer)
        if credential is not None:
            credentials.accepted(view, credential.id)
        return Head(
            status=200,
            content_type=out.stream_type if request.stream else "application/json",
            upstream_request_id=answer.headers.get("x-request-id") or answer.headers.get("request-id"),
            credential_id=identity,
            dropped_params=out.dropped,
            resent=answer.resent,
        )

    async def _whole(self, answer: Answer) -> list[Frame]:
        """Read an answer that comes in one piece."""
        self._watchdog.arm(self._total_at)
        try:
            body = await read_capped(answer, MAX_ANSWER)
        except asyncio.CancelledError:
            if not self._watchdog.expired():
                raise
            return [_timed_out("the vendor's answer took longer than the total limit")]
        except OSError as error:
            return [Fail(kind=FailureKind.CUT, message=clean(f"the connection ended in the answer: {error}"))]
        self._watchdog.rest()
        if body is None:
            return [malformed("the vendor's answer is larger than 64 MiB")]
        return self._out.whole(body)

    async def _part(self, answer: Answer) -> list[Frame]:
        """Read on in a stream: until the model has begun the first token's time limits, then silence does."""
        reader = self._reader
        if reader is None:
            reader = self._reader = self._out.reader()
        watchdog = self._watchdog
        idle_s = self._request.timeouts.idle_ms / 1_000
        watchdog.arm(min(watchdog.now() + idle_s, self._total_at) if reader.alive else self._first_at)
        try:
            data = await answer.readany()
        except asyncio.CancelledError:
            if not watchdog.expired():
                raise
            what = "silence, or the total limit" if reader.alive else "no token in time"
            return [_timed_out(f"the vendor's stream: {what}", reader.tokens())]
        except OSError as error:
            return _cut(reader, error)
        finally:
            watchdog.rest()
        return reader.feed(data) if data else reader.finish()

    async def _send(self) -> Answer:
        request, view, vendor, out = self._request, self._view, self._vendor, self._out
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
            if self._ways.local_model is None:
                raise OSError("the built-in model is not installed or switched off")
            base_url, key = await self._ways.local_model.address()
            headers["authorization"] = f"Bearer {key}"
        elif self._credential is not None:
            headers[vendor.auth.header] = vendor.auth.value(self._credential.secret.reveal())
        return await self._ways.upstream.send(
            "POST",
            endpoint(base_url, out.path),
            headers,
            _ENCODE(out.body),
            local=view.spec.local,
            connect_s=request.timeouts.connect_ms / 1_000,
            fresh=request.fresh,
        )

    async def _refused(self, answer: Answer) -> Fail:
        credential = self._credential
        failure = failed(
            answer.status,
            await _error_body(answer),
            answer.headers,
            now=self._ways.clock.now(),
            credential_id=credential.id if credential else None,
            secret=credential.secret.reveal() if credential else None,
        )
        if answer.resent:
            failure = msgspec.structs.replace(failure, resent=True)
        if credential is None:
            return failure
        another = self._ways.credentials.failed(self._view, credential, failure)
        return msgspec.structs.replace(failure, rotated=another and self._out.credential_id is None)

    def _no_credential(self) -> Fail | None:
        """Return why a request without a credential is not sent; None: it may do without."""
        slug = self._view.spec.slug
        absent = self._ways.credentials.absent(self._view)
        if absent is None:
            return unavailable(f"provider {slug} has no credential") if self._vendor.credential == "required" else None
        message = f"provider {slug} has no credential to send now: {absent.reason}"
        wait = None if absent.until is None else absent.until - self._ways.clock.now()
        wait_ms = None if wait is None else max(1, round(wait.total_seconds() * 1_000))
        return Fail(kind=FailureKind.UNAVAILABLE, message=message, retry_after_ms=wait_ms)


async def _no_stream(answer: Answer) -> Fail:
    """Return the failure of a status 200 that is one JSON document where a stream was asked for."""
    body = await _error_body(answer)
    with contextlib.suppress(*UNREADABLE):
        error = read_error(msgspec.json.decode(body))
        if error is not None:
            return error_in_answer(error)
    return malformed("the vendor did not stream")


async def _error_body(answer: Answer) -> bytes:
    """Return the body of an error as far as it comes in time and within bounds."""
    body = bytearray()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_ERROR_S):
            while len(body) < MAX_ERROR and (data := await answer.readany()):
                body += data
    return bytes(body[:MAX_ERROR])


def _cut(reader: Reader, error: Exception) -> list[Frame]:
    """Return what is left where a connection broke: an answer that had all its parts is whole all the same."""
    *rest, last = reader.finish()
    if isinstance(last, Tail):
        return [*rest, last]
    message = clean(f"the connection ended in the stream: {error}")
    return [*rest, Fail(kind=FailureKind.CUT, message=message, tokens=reader.tokens())]


async def _linger(answer: Answer) -> None:
    """Take the end of a chunked body, which mostly is there already: only then is the connection used again."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_LINGER_S):
            await answer.readany()


def unavailable(message: str) -> Fail:
    """Return the failure of a request that was not sent."""
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
