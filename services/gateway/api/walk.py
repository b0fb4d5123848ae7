"""The walk along a choice: candidate after candidate until one answers, content is shown, or none is left."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from services.gateway.api.answers import (
    Buffered,
    Pings,
    Shown,
    Streamed,
    Whole,
    candidate_headers,
    header_value,
)
from services.gateway.api.exchange import Exchange
from services.gateway.domain.errors import no_candidate, upstream_failed
from services.gateway.domain.retry_budget import RetryBudgets
from shared.contracts.frames import Completion, Completions, Data, Fail, FailureKind, Head, Partial, Tail, Timeouts
from shared.contracts.plan import Candidate, Plan
from shared.kernel.clock import Clock, rfc3339
from shared.routing.choose import Choice
from shared.routing.following import (
    GiveUp,
    NextCandidate,
    Retry,
    Step,
    after_cut,
    first_token_ms,
    may_go_twice,
    next_step,
    pace_ms,
)

Cool = Callable[[str, int], None]
"""Keep requests away from a provider for so many milliseconds."""

_CUT: Final = Fail(kind=FailureKind.CUT, message="the answer ended without an end")
_LEFT: Final = Fail(kind=FailureKind.CANCELLED, message="the client left")
_BROKEN: Final = Fail(kind=FailureKind.MALFORMED, message="LocalRouter failed on this answer")


class Walk:
    """One request on its way: owns the attempts and what the client sees of them."""

    __slots__ = (
        "_answered",
        "_asked",
        "_budgets",
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
        "_on_cut",
        "_order",
        "_pings",
        "_resume",
        "_sent",
        "_sent_before",
        "_until",
    )

    def __init__(
        self,
        exchange: Exchange,
        choice: Choice,
        plan: Plan,
        asked: dict[str, Any],
        *,
        completions: Completions,
        clock: Clock,
        cool: Cool,
        in_flight: dict[str, int],
        answered: dict[str, float],
        budgets: RetryBudgets,
        headers: list[tuple[bytes, bytes]],
        until: float,
    ) -> None:
        """``until`` is the request's end on the monotonic clock; ``asked`` the fields of every ``Completion``;
        ``in_flight`` counts the attempts that run, by model; ``answered`` holds when local models did last."""
        self._exchange = exchange
        self._order = list(choice.order)
        self._held = choice.held
        self._in_flight = in_flight
        self._answered = answered
        self._budgets = budgets
        self._pings = Pings(exchange, headers)
        self._resume: Partial | None = None
        self._fallback = plan.fallback
        self._on_cut = plan.on_cut if exchange.stream else "error"
        self._asked = asked
        self._completions = completions
        self._clock = clock
        self._cool = cool
        self._headers = headers
        self._until = until
        self._failures: list[tuple[str, Fail]] = []
        self._sent: list[float] = []
        """When it was sent, on the monotonic clock; twice for an attempt over a stale connection."""
        self._sent_before = 0
        """How often before the present candidate's turn."""
        self._candidate: Candidate | None = None

    async def run(self) -> None:
        """Answer the client; raises ApiError when no attempt did."""
        if self._on_cut != "buffer":
            await self._run()
            return
        self._pings.begin()
        try:
            await self._run()
        finally:
            await self._pings.stop()

    async def _run(self) -> None:
        tries = 0
        while self._order:
            candidate = self._order[0]
            tries += 1
            if not await self._paced():
                break
            if tries == 1:
                self._sent_before = len(self._sent)
                self._budgets.asked(candidate.provider_id, self._clock.monotonic())
            fail = await self._attempt(candidate)
            if fail is None:
                return
            self._failures.append((candidate.model, fail))
            match self._next(candidate, fail, tries):
                case Retry(delay_ms):
                    self._budgets.retried(candidate.provider_id, self._clock.monotonic())
                    await self._pause(delay_ms)
                case NextCandidate() as step:
                    await self._leave(candidate, step)
                    tries = 0
                case GiveUp():
                    break
        if not self._failures:
            raise no_candidate("No model of this route can take the request now.")
        raise upstream_failed(self._failures, shown=self._exchange.shown)

    def _next(self, candidate: Candidate, fail: Fail, tries: int) -> Step:
        now, fallback = self._clock.monotonic(), self._fallback
        time_left_ms = int((self._until - now) * 1000)  # a part of one is none
        if self._exchange.shown:
            self._resume = fail.partial or self._resume
            return after_cut(
                fail,
                self._resume if self._on_cut == "continue" else None,
                fallback=fallback,
                total_attempts=self._total(),
                time_left_ms=time_left_ms,
            )
        sent_here = len(self._sent) - self._sent_before
        return next_step(
            fail,
            fallback=fallback,
            candidate_attempts=tries,
            total_attempts=self._total(),
            shown=False,
            time_left_ms=time_left_ms,
            jitter=random.random(),  # noqa: S311  spreads waits, decides nothing
            within_budget=sent_here < fallback.max_attempts_per_candidate
            and self._budgets.allows(candidate.provider_id, fallback.retry_share, now),
        )

    def _total(self) -> int:
        """Return how many attempts there were, each time that it was sent counted."""
        return max(len(self._failures), len(self._sent))

    async def _paced(self) -> bool:
        """Wait until the request may be sent again; False: its time is over before that."""
        now = self._clock.monotonic()
        wait_ms = pace_ms(self._sent, now)
        if not wait_ms:
            return True
        if now + wait_ms / 1000 >= self._until:
            return False
        await self._pause(wait_ms)
        return True

    def _note_sent(self, fail: Fail, head: Head | None) -> None:
        """Note what a failed attempt was besides being one: sent twice, or not at all."""
        if fail.kind is FailureKind.UNAVAILABLE:
            self._sent.pop()
        elif fail.resent or (head is not None and head.resent):
            self._sent.append(self._clock.monotonic())

    async def _leave(self, candidate: Candidate, step: NextCandidate) -> None:
        if step.cool_ms:
            self._cool(candidate.provider_id, step.cool_ms)
        self._order.pop(0)
        if step.larger_context:
            window = candidate.context_window or 0
            self._order = [other for other in self._order if (other.context_window or window + 1) > window]
        if self._resume is not None:
            self._order = [other for other in self._order if "prefill" in other.capabilities]
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
        exchange.delivered = 0
        started, started_at = clock.monotonic(), rfc3339(clock.now())
        head: Head | None = None
        fail: Fail = _CUT
        frames = self._completions.complete(self._completion(candidate, attempt_id, started))
        self._sent.append(started)
        answer = self._answer()
        in_flight[candidate.model] = in_flight.get(candidate.model, 0) + 1
        try:
            async for frame in frames:
                if type(frame) is Data:
                    await answer.data(frame)
                elif type(frame) is Tail:
                    self._settle(attempt_id, started, started_at, head, frame)
                    if candidate.local:
                        self._answered[candidate.model] = clock.monotonic()
                    await answer.end(frame)
                    return None
                elif type(frame) is Head:
                    head = answer.head = frame
                elif type(frame) is Fail:
                    fail = frame
        except BaseException as error:  # whatever ends it, the record says what the vendor was asked for
            end = _LEFT if isinstance(error, asyncio.CancelledError) else _BROKEN
            self._settle_failed(attempt_id, end, started, started_at, head)
            raise
        finally:
            in_flight[candidate.model] -= 1
            await frames.aclose()
        self._note_sent(fail, head)
        self._settle_failed(attempt_id, fail, started, started_at, head)
        return fail

    def _answer(self) -> Shown:
        if not self._exchange.stream:
            return Whole(self)
        return Buffered(self, self._pings) if self._on_cut == "buffer" else Streamed(self)

    def _settle_failed(self, attempt_id: str, fail: Fail, started: float, started_at: str, head: Head | None) -> None:
        assert self._candidate is not None
        duration = self._clock.monotonic() - started
        self._exchange.upstream_s += duration
        self._exchange.settle_failed(
            attempt_id,
            self._candidate,
            fail,
            started_at,
            duration,
            resumed=self._resume is not None,
            resent=fail.resent or (head is not None and head.resent),
        )

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
            resumed=self._resume is not None,
            resent=head is not None and head.resent,
        )

    def _completion(self, candidate: Candidate, attempt_id: str, now: float) -> Completion:
        fallback = self._fallback
        answered = self._answered.get(candidate.model) if candidate.local else None
        ago = None if answered is None else now - answered
        return Completion(
            attempt_id=attempt_id,
            request_id=self._exchange.id,
            provider_id=candidate.provider_id,
            native_id=candidate.native_id,
            model=candidate.model,
            max_output=candidate.max_output,
            timeouts=Timeouts(
                connect_ms=fallback.connect_ms,
                first_token_ms=first_token_ms(candidate, fallback, last=len(self._order) == 1, answered_s_ago=ago),
                idle_ms=fallback.idle_ms,
                total_ms=max(1, int((self._until - now) * 1000)),
            ),
            keep_partial=self._on_cut == "continue" and self._may_continue(),
            resume=self._resume,
            fresh=bool(self._sent) and not self._may_go_twice(now),
            **self._asked,
        )

    def _may_go_twice(self, now: float) -> bool:
        same = len(self._sent) > self._sent_before
        fail = self._failures[-1][1] if self._failures else None
        return may_go_twice(fail, self._sent, self._fallback, same=same, now_s=now)

    def _may_continue(self) -> bool:
        """Whether there is somebody who could go on with this candidate's answer."""
        return any("prefill" in other.capabilities for other in self._order[1:])

    def answer_headers(self, head: Head | None) -> list[tuple[bytes, bytes]]:
        """Return the headers that say who answered and why."""
        candidate = self._candidate
        assert candidate is not None
        headers = [
            *self._headers,
            *candidate_headers(candidate, held=candidate.model == self._held),
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
