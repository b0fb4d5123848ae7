"""Which candidates of a plan take a request now, in which order, and why the others do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.contracts.catalog import BreakerState, HealthState
from shared.contracts.plan import Candidate, Plan
from shared.contracts.usage import Exclusion, Needs
from shared.kernel.clock import rfc3339


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """What is known of a provider's health at the moment; unknown counts as healthy."""

    health: HealthState = "unknown"
    breaker: BreakerState = "closed"
    cool_until: datetime | None = None
    """Stay away until then."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates to try, in this order, and those that were passed over."""

    order: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]


_FINE: Final = ProviderHealth()


def choose(plan: Plan, needs: Needs, health: Mapping[str, ProviderHealth], *, now: datetime) -> Choice:
    """Return the candidates of ``plan`` that fit ``needs``, the healthy ones first; ``health`` is by provider id.

    Within one state of health the plan's order stands: healthy and unknown, then degraded, then half-open. Left out
    are providers that are unhealthy, cooling or behind an open breaker, and models that lack a needed capability or
    are known to be too small. A plan for one model (no router) leaves the model's fitness to the vendor's answer: what
    the user named is not refused on the catalog's word. ``excluded`` names the candidates that a request could have
    reached: those behind as many healthy ones as it has attempts are left unnamed, so records stay small.
    """
    healthy: list[Candidate] = []
    degraded: list[Candidate] = []
    half_open: list[Candidate] = []
    excluded: list[Exclusion] = []
    reach = plan.fallback.max_attempts
    fitted = plan.router_id != ""
    capabilities = needs.capabilities
    output_tokens = needs.output_tokens or 0
    tokens = needs.input_tokens + output_tokens
    for candidate in plan.candidates:
        state = health.get(candidate.provider_id, _FINE)
        cause = value = None
        if state.breaker == "open":
            cause, value = "breaker_open", "open"
        elif state.health == "unhealthy":
            cause, value = "unhealthy", "unhealthy"
        elif state.cool_until is not None and state.cool_until > now:
            cause, value = "cooling", rfc3339(state.cool_until)
        elif fitted:
            window, most = candidate.context_window, candidate.max_output
            if window is not None and tokens > window:
                cause, value = "context_window", str(window)
            elif most is not None and output_tokens > most:
                cause, value = "max_output", str(most)
            else:
                has = candidate.capabilities
                for capability in capabilities:
                    if capability not in has:
                        cause, value = "capabilities", capability
                        break
        if cause is not None:
            if len(healthy) < reach:
                excluded.append(Exclusion(provider=candidate.provider, model=candidate.model, cause=cause, value=value))
        elif state.breaker == "half_open":
            half_open.append(candidate)
        elif state.health == "degraded":
            degraded.append(candidate)
        else:
            healthy.append(candidate)
    return Choice((*healthy, *degraded, *half_open), tuple(excluded))
