"""How a credential stands with its vendor: in use, cooling until a moment, or rejected until somebody helps."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.contracts.catalog import CredentialState
from shared.contracts.frames import Fail, FailureKind

_REST_S: Final = 10.0
"""How long a credential whose rate is limited rests where the vendor does not say, and another can take its place."""
_OUT: Final = frozenset({FailureKind.AUTHENTICATION, FailureKind.QUOTA})


@dataclass(frozen=True, slots=True)
class Standing:
    """One credential's state; ``until``: when a cooling one may be used again."""

    state: CredentialState = "in_use"
    until: datetime | None = None
    reason: str = ""

    def at(self, now: datetime) -> "Standing":
        """Return the standing at a moment: what cooled long enough is in use again."""
        return IN_USE if self.until is not None and self.until <= now else self


IN_USE: Final = Standing()


def after(standing: Standing, fail: Fail, now: datetime, *, alone: bool) -> Standing:
    """Return how a credential stands after an attempt with it failed; ``alone``: no other can take its place.

    A refused one, or one without money, is out until it is changed or tested by hand. One whose rate is limited cools
    for as long as the vendor says, never shorter than it was told before.
    """
    if fail.kind in _OUT:
        status = "" if fail.http_status is None else f" ({fail.http_status})"
        what = "the vendor wants money" if fail.kind is FailureKind.QUOTA else "the vendor refuses it"
        return Standing("rejected", None, what + status)
    if fail.kind is not FailureKind.RATE_LIMITED or standing.state == "rejected":
        return standing
    if fail.retry_after_ms is None and alone:
        return standing
    rest = timedelta(seconds=_REST_S) if fail.retry_after_ms is None else timedelta(milliseconds=fail.retry_after_ms)
    return cooled(standing, now + rest, "the vendor limits its rate")


def cooled(standing: Standing, until: datetime, reason: str) -> Standing:
    """Return how a credential stands that shall not be used before ``until``."""
    if standing.state == "rejected" or (standing.until is not None and standing.until >= until):
        return standing
    return Standing("cooling", until, reason)
