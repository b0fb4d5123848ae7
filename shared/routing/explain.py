"""Why a request went where it went: its plan, and the choice derived from it again in the world as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.contracts.plan import Candidate, Plan
from shared.contracts.usage import Exclusion, UsageRecord
from shared.kernel.clock import parse_rfc3339
from shared.routing.choose import CAUSES, Choice, choose, one_model
from shared.routing.health import ProviderHealth


@dataclass(frozen=True, slots=True)
class Explained:
    """One candidate of the plan, as the request met it."""

    place: int
    """In the plan, from 1."""
    candidate: Candidate
    order: int | None
    """At which turn it would have been tried, from 1; None: it was passed over."""
    excluded: Exclusion | None
    outcomes: tuple[str, ...]
    """Of its attempts."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every candidate, and whether the log gives the same choice again."""

    plan: Plan
    candidates: tuple[Explained, ...]
    again: Literal["same", "different"]
    """``different``: something decided that no stream holds."""


def explain(plan: Plan, record: UsageRecord, health: Mapping[str, ProviderHealth]) -> Explanation:
    """Return why ``record`` went where it went; ``health`` is the overlay at the positions that the record names.

    What a gateway had just learnt itself (a vendor's Retry-After) stands in the record's exclusions and nowhere else.
    """
    decided = one_model(plan) if "embedding" in record.needs.capabilities else plan
    choice = choose(
        decided,
        record.needs,
        {**health, **_learnt(plan, record)},
        now=parse_rfc3339(record.time),
        request_id=record.id,
        in_flight=record.busy,
        held=record.held,
    )
    refused = {item.model for item in record.excluded if item.cause not in CAUSES}
    order = [candidate.model for candidate in choice.order if candidate.model not in refused]
    turns = {model: turn for turn, model in enumerate(order, 1)}
    passed = {(item.provider, item.model): item for item in (*choice.excluded, *record.excluded)}
    candidates = tuple(
        Explained(
            place,
            candidate,
            turns.get(candidate.model),
            None if candidate.model in turns else passed.get((candidate.provider, candidate.model)),
            tuple(attempt.outcome for attempt in record.attempts if attempt.model == candidate.model),
        )
        for place, candidate in enumerate(plan.candidates, 1)
    )
    return Explanation(plan, candidates, "same" if _agrees(choice, order, record) else "different")


def _learnt(plan: Plan, record: UsageRecord) -> dict[str, ProviderHealth]:
    """Return the providers that were cooling for this request, whether or not the log says so."""
    ids = {candidate.provider: candidate.provider_id for candidate in plan.candidates}
    return {
        ids[item.provider]: ProviderHealth(cool_until=parse_rfc3339(item.value))
        for item in record.excluded
        if item.cause == "cooling" and item.value is not None and item.provider in ids
    }


def _agrees(choice: Choice, order: list[str], record: UsageRecord) -> bool:
    """Whether the candidates that were tried come first in ``order``, and the same were passed over."""
    tried = list(dict.fromkeys(attempt.model for attempt in record.attempts))
    decided = {item for item in record.excluded if item.cause in CAUSES}
    in_turn = not tried or (bool(order) and order[0] == tried[0] and [m for m in order if m in tried] == tried)
    return in_turn and set(choice.excluded) == decided
