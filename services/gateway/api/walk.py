"""The walk along a choice: candidate after candidate until one answers, content is shown, or none is left."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from services.gateway.api.exchange import Exchange
from services.gateway.domain.errors import no_candidate, upstream_failed
from shared.contracts.config import Fallback
from shared.contracts.frames import Completion, Completions, Data, Fail, FailureKind, Head, Tail, Timeouts
from shared.contracts.plan import Candidate
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.money import format_usd
from shared.routing.choose import Choice
from shared.routing.following import GiveUp, NextCandidate, Retry, next_step

Cool = Callable[[str, int], None]
"""Keep requests away from a provider for so many milliseconds."""

_HELD: Final = "affinity: it holds this conversation"
_HEADERS: Final[dict[tuple[int, bool], tuple[Candidate, tuple[tuple[bytes, bytes], ...]]]] = {}
"""What a candidate's headers are: the same for every answer it gives, and a plan's candidates are few."""
_MAX_HEADERS: Final = 4_096
_CUT: Final = Fail(kind=FailureKind.CUT, message="the answer ended without an end")
_LEFT: Final = Fail(kind=FailureKind.CANCELLED, message="the client left")
_BROKEN: Final = Fail(kind=FailureKind.MALFORMED, message="LocalRouter failed on this answer")


class Walk:
    """One request on its way: owns the attempts and what the client sees of them."""

    __slots__ = (
        "_asked",
        "_candidate",
        "_clock",
        "_completions",
        "_cool",
        "_exchange",
        "_failures",
        "_fallback",
        "_headers",
        "_held",
        "_in_flight",
        "_order",
        "_until",
    )

    def __init__(
        self,
        exchange: Exchange,
        choice: Choice,
        fallback: Fallback,
        asked: dict[str, Any],
        *,
        completions: Completions,
        clock: Clock,
        cool: Cool,
        in_flight: dict[str, int],
        headers: list[tuple[bytes, bytes]],
        until: float,
    ) -> None:
        """``until`` is the request's end on the monotonic clock; ``asked`` the fields of every ``Completion``;
        ``in_flight`` counts the attempts that run, by model."""
        self._exchange = exchange
        self._order = list(choice.order)
        self._held = choice.held
        self._in_flight = in_flight
        self._fallback = fallback
        self._asked = asked
        self._completions = completions
        self._clock = clock
        self._cool = cool
        self._headers = headers
        self._until = until
        self._failures: list[tuple[str, Fail]] = []
        self._candidate: Candidate | None = None

    async def run(self) -> None:
        """Answer the client; raises ApiError when no attempt did."""
        tries = 0
        while self._order:
            candidate = self._order[0]
            tries += 1
            fail = await self._attempt(candidate)
            if fail is None:
                return
            self._failures.append((candidate.model, fail))
            step = next_step(
                fail,
                fallback=self._fallback,
                candidate_attempts=tries,
                total_attempts=len(self._failures),
                shown=self._exchange.response_started,
                time_left_ms=int((self._until - self._clock.monotonic()) * 1000),  # a part of one is none
                jitter=random.random(),  # noqa: S311  spreads waits, decides nothing
            )
            match step:
                case Retry(delay_ms):
                    await self._pause(delay_ms)
                case NextCandidate():
                    await self._leave(candidate, step)
                    tries = 0
                case GiveUp():
                    break
        if not self._failures:
            raise no_candidate("No model of this route can take the request now.")
        raise upstream_failed(self._failures)

    async def _leave(self, candidate: Candidate, step: NextCandidate) -> None:
        if step.cool_ms:
            self._cool(candidate.provider_id, step.cool_ms)
        self._order.pop(0)
        if step.larger_context:
            window = candidate.context_window or 0
            self._order = [other for other in self._order if (other.context_window or window + 1) > window]
        if step.pause_ms and self._order and self._order[0].provider_id == candidate.provider_id:
            await self._pause(step.pause_ms)

    async def _pause(self, pause_ms: int) -> None:
        """Wait before another attempt: the vendor's time, not ours."""
        self._exchange.upstream_s += pause_ms / 1000
        await asyncio.sleep(pause_ms / 1000)

    async def _attempt(self, candidate: Candidate) -> Fail | None:
        """Ask one candidate; returns None when the client has its answer."""
        exchange, clock, in_flight = self._exchange, self._clock, self._in_flight
        self._candidate = candidate
        attempt_id = f"{exchange.id}-{len(self._failures) + 1}"
        exchange.open(candidate, attempt_id)
        started, started_at = clock.monotonic(), rfc3339(clock.now())
        head: Head | None = None
        fail: Fail = _CUT
        frames = self._completions.complete(self._completion(candidate, attempt_id, started))
        answer = _Streamed(self) if exchange.stream else _Whole(self)
        in_flight[candidate.model] = in_flight.get(candidate.model, 0) + 1
        try:
            async for frame in frames:
                if type(frame) is Data:
                    await answer.data(frame)
                elif type(frame) is Tail:
                    self._settle(attempt_id, started, started_at, head, frame)
                    await answer.end(frame)
                    return None
                elif type(frame) is Head:
                    head = answer.head = frame
                elif type(frame) is Fail:
                    fail = frame
        except BaseException as error:  # whatever ends it, the record says what the vendor was asked for
            end = _LEFT if isinstance(error, asyncio.CancelledError) else _BROKEN
            exchange.upstream_s += clock.monotonic() - started
            exchange.settle_failed(attempt_id, candidate, end, started_at, clock.monotonic() - started)
            raise
        finally:
            in_flight[candidate.model] -= 1
            await frames.aclose()
        duration = clock.monotonic() - started
        exchange.upstream_s += duration
        exchange.settle_failed(attempt_id, candidate, fail, started_at, duration)
        return fail

    def _settle(self, attempt_id: str, started: float, started_at: str, head: Head | None, tail: Tail) -> None:
        assert self._candidate is not None
        duration = self._clock.monotonic() - started
        self._exchange.upstream_s += duration
        self._exchange.settle(
            attempt_id,
            self._candidate,
            "succeeded",
            started_at,
            duration,
            tail.tokens,
            http_status=head.status if head else None,
            credential_id=head.credential_id if head else None,
        )

    def _completion(self, candidate: Candidate, attempt_id: str, now: float) -> Completion:
        fallback = self._fallback
        patient = candidate.local or len(self._order) == 1 or "reasoning" in candidate.capabilities
        return Completion(
            attempt_id=attempt_id,
            request_id=self._exchange.id,
            provider_id=candidate.provider_id,
            native_id=candidate.native_id,
            model=candidate.model,
            max_output=candidate.max_output,
            timeouts=Timeouts(
                connect_ms=fallback.connect_ms,
                first_token_ms=fallback.first_token_slow_ms if patient else fallback.first_token_ms,
                idle_ms=fallback.idle_ms,
                total_ms=max(1, int((self._until - now) * 1000)),
            ),
            **self._asked,
        )

    def answer_headers(self, head: Head | None) -> list[tuple[bytes, bytes]]:
        """Return the headers that say who answered and why."""
        candidate = self._candidate
        assert candidate is not None
        headers = [
            *self._headers,
            *_candidate_headers(candidate, held=candidate.model == self._held),
            (b"x-localrouter-attempts", str(len(self._failures) + 1).encode()),
        ]
        if head is not None and head.dropped_params:
            headers.append((b"x-localrouter-dropped-params", header_value(",".join(head.dropped_params))))
        return headers

    @property
    def exchange(self) -> Exchange:
        """The request this walk answers."""
        return self._exchange

    def now(self) -> float:
        """Return the monotonic time."""
        return self._clock.monotonic()


class _Whole:
    """An answer in one piece: nothing is shown before it is whole."""

    def __init__(self, walk: Walk) -> None:
        self.head: Head | None = None
        self._walk = walk
        self._payloads: list[bytes] = []

    async def data(self, frame: Data) -> None:
        self._payloads.append(frame.payload)

    async def end(self, tail: Tail) -> None:
        walk, exchange = self._walk, self._walk.exchange
        body = b"".join(self._payloads) + tail.closing
        status = self.head.status if self.head else 200
        headers = [
            (b"content-type", self.head.content_type.encode() if self.head else b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *walk.answer_headers(self.head),
        ]
        cost = exchange.cost()
        if cost is not None:
            headers.append((b"x-localrouter-cost-usd", format_usd(cost).encode()))
        now = walk.now()
        exchange.first_content = now
        exchange.close("succeeded", status, None, now)
        await exchange.start(status, headers)
        await exchange.send({"type": "http.response.body", "body": body})


class _Streamed:
    """A stream: held back until its first content, so that another candidate may still answer."""

    def __init__(self, walk: Walk) -> None:
        self.head: Head | None = None
        self._walk = walk
        self._held: list[bytes] = []

    async def data(self, frame: Data) -> None:
        exchange = self._walk.exchange
        payload = frame.payload
        if frame.content:
            exchange.delivered += payload.count(exchange.face.event_mark)
        if not exchange.response_started:
            self._held.append(payload)
            if not frame.content:
                return
            exchange.first_content = self._walk.now()
            payload = await self._start()
        exchange.last_sent = payload
        await exchange.send({"type": "http.response.body", "body": payload, "more_body": True})

    async def end(self, tail: Tail) -> None:
        exchange = self._walk.exchange
        payload = b"" if exchange.response_started else await self._start()
        exchange.close("succeeded", 200, None, self._walk.now())
        await exchange.send({"type": "http.response.body", "body": payload + tail.closing})

    async def _start(self) -> bytes:
        content_type = self.head.content_type if self.head else "text/event-stream; charset=utf-8"
        headers = [
            (b"content-type", content_type.encode()),
            (b"cache-control", b"no-cache"),
            *self._walk.answer_headers(self.head),
        ]
        await self._walk.exchange.start(200, headers)
        payload = b"".join(self._held)
        self._held.clear()
        return payload


def _candidate_headers(candidate: Candidate, *, held: bool) -> tuple[tuple[bytes, bytes], ...]:
    known = _HEADERS.get((id(candidate), held))
    if known is not None and known[0] is candidate:
        return known[1]
    reasons = [f"{reason.strategy}: {reason.because}" for reason in candidate.reasons]
    reason = "; ".join([_HELD, *reasons] if held else reasons)
    headers = (
        (b"x-localrouter-provider", header_value(candidate.provider)),
        (b"x-localrouter-model", header_value(candidate.model)),
        *(((b"x-localrouter-reason", header_value(reason)),) if reason else ()),
    )
    if len(_HEADERS) >= _MAX_HEADERS:
        _HEADERS.clear()
    _HEADERS[id(candidate), held] = (candidate, headers)
    return headers


def header_value(text: str) -> bytes:
    """Return ``text`` as a header's value: printable ASCII, so nothing a model is called can forge a header."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else "?" for char in text)
    return text[:1024].encode()
