"""What comes after a failed attempt: the same candidate again, the next one, or the end."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.contracts.config import Fallback
from shared.contracts.frames import Fail, FailureKind, Partial
from shared.contracts.plan import Candidate

_BACKOFF_CAP_MS: Final = 5_000
LEAST_LEFT_MS: Final = 10
"""With less time than that nobody is asked any more. Timers have an inaccuracy too: an attempt that ends with the
request's own limit may end a millisecond before it."""
BURST: Final = 4
"""As many times a request is sent at once, whoever fails and however soon; then it waits, see ``pace_ms``."""
_BURST_MS: Final = 3_100
"""Three seconds, and what one request may take longer to its vendor than another."""
LOADED_S: Final = 240.0
"""So long a local model stays loaded after an answer: a little less than the five minutes of Ollama (https://docs.
ollama.com/faq, keep_alive) and of the built-in model."""
_TAIL: Final = 3
"""The 99th percentile of times to the first token, in means: they are about log-normal with a sigma of 0.5."""
_PASSING: Final = frozenset({FailureKind.CONNECT, FailureKind.CUT, FailureKind.SERVER_ERROR, FailureKind.OVERLOADED})
"""What often passes by itself: worth one more try at the same candidate."""
_BROKE: Final = frozenset({FailureKind.CONNECT, FailureKind.CUT})
_STRAINED: Final = _PASSING | {FailureKind.RATE_LIMITED, FailureKind.MALFORMED}
"""What says that the provider, not only this model of it, is better left alone for a moment."""
_WAITABLE: Final = frozenset({FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR, FailureKind.OVERLOADED})
"""Where a vendor's Retry-After means this route."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the same candidate again after ``delay_ms``."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class NextCandidate:
    """Go to the next candidate."""

    cool_ms: int | None = None
    """Keep every request away from the failed provider for this long: its Retry-After."""
    larger_context: bool = False
    """Only a candidate whose context window is larger than the failed one's (or unknown) can do better."""
    pause_ms: int = 0
    """Wait this long first if the next candidate is of the same provider, which is then not hammered."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; ``because`` is a cause for people."""

    because: str


Step = Retry | NextCandidate | GiveUp


def next_step(
    fail: Fail,
    *,
    fallback: Fallback,
    candidate_attempts: int,
    total_attempts: int,
    shown: bool,
    time_left_ms: float,
    jitter: float,
    within_budget: bool = True,
) -> Step:
    """Return what to do after ``fail``; the attempt counts include the failed attempt.

    ``shown``: whether the client has seen content. ``time_left_ms``: until the request's total limit.
    ``jitter``: a number in [0, 1) that spreads the waits of many requests. ``within_budget``: whether the provider may
    be asked again at all, see ``Fallback.retry_share``.
    """
    if shown:
        return GiveUp("content was shown")
    if not fail.kind.retryable:
        return GiveUp(fail.kind.value)
    if total_attempts >= fallback.max_attempts:
        return GiveUp("max_attempts")
    if time_left_ms < LEAST_LEFT_MS:
        return GiveUp("total_ms")
    if fail.kind is FailureKind.CONTEXT_LENGTH:
        return NextCandidate(larger_context=True)
    pause_ms = backoff_ms(total_attempts, jitter, fallback.backoff_ms) if fail.kind in _STRAINED else 0
    again = within_budget and candidate_attempts < fallback.max_attempts_per_candidate
    delay_ms = _delay_ms(fail, fallback, candidate_attempts, pause_ms, jitter) if again else None
    if delay_ms is not None and delay_ms < time_left_ms:
        return Retry(delay_ms)
    if fail.rotated:
        return NextCandidate(pause_ms=pause_ms)  # it was one credential's limit
    return NextCandidate(cool_ms=fail.retry_after_ms or None, pause_ms=pause_ms)


def after_cut(
    fail: Fail, partial: Partial | None, *, fallback: Fallback, total_attempts: int, time_left_ms: float
) -> NextCandidate | GiveUp:
    """Return what to do after a stream broke of which the client has seen ``partial``: let another go on, or end.

    The same candidate is not asked again: it just failed in the middle of an answer.
    """
    if partial is None or partial.tool_calls or not fail.kind.retryable:
        return GiveUp("content was shown")
    if total_attempts >= fallback.max_attempts:
        return GiveUp("max_attempts")
    if time_left_ms < LEAST_LEFT_MS:
        return GiveUp("total_ms")
    return NextCandidate(cool_ms=fail.retry_after_ms or None)


def _delay_ms(fail: Fail, fallback: Fallback, candidate_attempts: int, pause_ms: int, jitter: float) -> int | None:
    """Return how long to wait before the same candidate gets another try; None: it gets none."""
    if fail.rotated:
        return 0
    if fail.retry_after_ms and fail.kind in _WAITABLE:
        short = fail.retry_after_ms <= fallback.short_retry_after_ms
        return fail.retry_after_ms + int(100 * jitter) if short else None
    return pause_ms if fail.kind in _PASSING and candidate_attempts == 1 else None


def backoff_ms(attempts: int, jitter: float, first_ms: int = 300) -> int:
    """Return the wait after ``attempts`` attempts: ``first_ms`` doubled each time, at most 5 s, spread by ±20 %."""
    return int(min(first_ms * 2 ** (attempts - 1), _BACKOFF_CAP_MS) * (0.8 + 0.4 * jitter))


def pace_ms(sent_s: Sequence[float], now_s: float) -> int:
    """Return how long to wait before a request may be sent again: ``BURST`` times in any three seconds is the most.

    ``sent_s``: the moments at which it was sent, the oldest first. Whom it was sent to does not matter: several models,
    and several providers, may stand on one machine.
    """
    if len(sent_s) < BURST:
        return 0
    return max(0, math.ceil(_BURST_MS - (now_s - sent_s[-BURST]) * 1_000))


def may_go_twice(fail: Fail | None, sent_s: Sequence[float], fallback: Fallback, *, same: bool, now_s: float) -> bool:
    """Whether a request may take a kept connection, over which it may have to be sent twice, and not a new one.

    ``fail``: how the attempt before ended, at the ``same`` candidate or another; a connection that broke there says
    that the others are no better. ``sent_s``: the moments at which it was sent.
    """
    if same and fail is not None and fail.kind in _BROKE:
        return False
    recent = sum(1 for moment in sent_s if (now_s - moment) * 1_000 < _BURST_MS)
    return recent + 2 <= BURST and len(sent_s) + 2 <= fallback.max_attempts


def first_token_ms(candidate: Candidate, fallback: Fallback, *, last: bool, answered_s_ago: float | None = None) -> int:
    """Return how long a candidate's first token is waited for; ``last``: nobody comes after it.

    The larger of the router's limit and twice what all but one in a hundred of this model's answers need, which is
    taken for three times the mean that was measured. Who may have to load or to think first, and the last, get longer:
    a local model is taken for loaded if it ``answered`` lately.
    """
    loads = candidate.local and (answered_s_ago is None or answered_s_ago > LOADED_S)
    if last or loads or "reasoning" in candidate.capabilities:
        return fallback.first_token_slow_ms
    measured_ms = 2 * _TAIL * 1_000 * (candidate.ttft_s or 0)
    return max(fallback.first_token_ms, min(measured_ms, fallback.first_token_slow_ms))


def smallest_retry_after_ms(failures: Iterable[Fail]) -> int | None:
    """Return the soonest moment at which one of the failed vendors may be asked again; None: none said."""
    return min((fail.retry_after_ms for fail in failures if fail.retry_after_ms is not None), default=None)
