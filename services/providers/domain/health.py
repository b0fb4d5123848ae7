"""What a probe or an attempt says about a provider's health."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.providers.domain.breaker import Outcome
from shared.contracts.catalog import HealthState
from shared.contracts.frames import Fail, Tail

_ORDER: Final[dict[HealthState, int]] = {"healthy": 0, "degraded": 1, "unknown": 2, "unhealthy": 3}


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of one probe; ``status`` None: no answer."""

    status: int | None
    seconds: float
    reason: str = ""
    retry_after_ms: int | None = None
    """How long the vendor asks not to be probed."""


def health_of(probed: Probed, degraded_after_s: float) -> tuple[HealthState, str]:
    """Return the health that a probe shows, and why.

    A server without a list of models (404, 405, 501) answers: it is healthy. One that refuses the credential is of
    no use.
    """
    if probed.status is None:
        return "unhealthy", probed.reason
    if probed.status in (401, 402, 403):
        return "unhealthy", f"the vendor refuses the credential ({probed.status})"
    if probed.status == 429:
        return "degraded", "the vendor limits the rate of probes"
    if probed.status >= 500 and probed.status != 501:
        return "unhealthy", f"the vendor answers {probed.status}"
    if probed.seconds > degraded_after_s:
        return "degraded", f"the probe took {probed.seconds:.1f} s"
    return "healthy", ""


def best(probes: Sequence[Probed], degraded_after_s: float) -> Probed:
    """Return the probe that shows most: a provider is as well as the best of its credentials."""
    return min(probes, key=lambda probed: (_ORDER[health_of(probed, degraded_after_s)[0]], probed.seconds))


def outcome_of_probe(probed: Probed) -> Outcome:
    """Return what a probe says to the breaker: a refused credential is no fault of the provider's."""
    if probed.status is None or (probed.status >= 500 and probed.status != 501):
        return "failure"
    return "neutral" if probed.status in (401, 402, 403, 429) else "success"


def outcome_of_attempt(ended: Fail | Tail | None) -> Outcome:
    """Return what an attempt says to the breaker; None: it was cancelled."""
    if ended is None:
        return "neutral"
    if isinstance(ended, Tail):
        return "success"
    return "failure" if ended.kind.hurts_health else "neutral"
