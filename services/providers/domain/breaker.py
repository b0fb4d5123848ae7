"""The circuit breaker of a provider: closed, open after failures in a row, half-open with one try at a time."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.contracts.catalog import BreakerState

Outcome = Literal["success", "failure", "neutral"]
"""``neutral``: it says nothing about the provider (cancelled, the request's own fault)."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens and for how long."""

    failures: int = 3
    open_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker's state. Times are monotonic seconds; ``epoch`` grows with every transition, and what began in an
    older epoch says nothing any more."""

    state: BreakerState = "closed"
    failures: int = 0
    since: float = 0.0
    """When it opened, or when the running try began."""
    epoch: int = 0
    floor: float = 0.0
    """No try before this moment: the vendor's Retry-After."""


def admit(breaker: Breaker, rules: BreakerRules, now: float) -> tuple[Breaker, int | None]:
    """Return the breaker after a request asked to go through, and the epoch it goes in, or None: it must not.

    A try that never came back makes room for another after ``open_s``.
    """
    match breaker.state:
        case "closed":
            return breaker, breaker.epoch
        case "open" | "half_open":
            if now < max(breaker.since + rules.open_s, breaker.floor):
                return breaker, None
            tried = Breaker(state="half_open", since=now, epoch=breaker.epoch + 1)
            return tried, tried.epoch


def record(breaker: Breaker, rules: BreakerRules, epoch: int, outcome: Outcome, now: float) -> Breaker:
    """Return the breaker after an admitted request ended."""
    if epoch != breaker.epoch:
        return breaker
    if breaker.state == "closed":
        return _while_closed(breaker, rules, outcome, now)
    match outcome:
        case "success":
            return Breaker(epoch=breaker.epoch + 1)
        case "failure":
            return Breaker(state="open", since=now, epoch=breaker.epoch + 1, floor=breaker.floor)
        case "neutral":
            # Nothing was learnt: the next may try at once.
            return replace(breaker, state="open", since=now - rules.open_s, epoch=breaker.epoch + 1)


def _while_closed(breaker: Breaker, rules: BreakerRules, outcome: Outcome, now: float) -> Breaker:
    match outcome:
        case "success":
            return replace(breaker, failures=0) if breaker.failures else breaker
        case "failure" if breaker.failures + 1 >= rules.failures:
            return Breaker(state="open", since=now, epoch=breaker.epoch + 1, floor=breaker.floor)
        case "failure":
            return replace(breaker, failures=breaker.failures + 1)
        case "neutral":
            return breaker


def hold_off(breaker: Breaker, until: float) -> Breaker:
    """Return the breaker after the vendor asked for no request before ``until``: it does not open it, it keeps an open
    one from trying earlier."""
    return replace(breaker, floor=until) if until > breaker.floor else breaker


def reset(breaker: Breaker) -> Breaker:
    """Return the breaker closed by hand; what is under way in it says nothing any more."""
    return Breaker(epoch=breaker.epoch + 1)


def told(breaker: Breaker, state: BreakerState, since: float) -> Breaker:
    """Return the breaker after somebody else, or an earlier run, told of ``state`` that began at ``since``.

    Their try is awaited as long as an open breaker rests: one that never ends makes room for another.
    """
    if state == "closed":
        return breaker if breaker.state == "closed" else Breaker(epoch=breaker.epoch + 1)
    return Breaker(state=state, since=since, epoch=breaker.epoch + 1, floor=breaker.floor)


def reopens_at(breaker: Breaker, rules: BreakerRules) -> float | None:
    """Return when the next request may try an open or half-open breaker; None: it is closed."""
    return None if breaker.state == "closed" else max(breaker.since + rules.open_s, breaker.floor)
