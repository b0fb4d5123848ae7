"""What an explanation looks like in the admin API."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from services.metrics.api.shapes import ExclusionShape, RequestShape, exclusion_shape, request_shape
from shared.contracts.usage import UsageRecord
from shared.routing.explain import Explained, Explanation


class ReasonShape(BaseModel):
    """What one strategy said of a candidate; smaller scores come first."""

    strategy: str
    score: float
    because: str


class ExplainedCandidate(BaseModel):
    """One candidate of the plan, as the request met it."""

    place: int = Field(description="In the plan, from 1")
    order: int | None = Field(description="At which turn it would have been tried; null: passed over")
    provider: str
    model: str
    reasons: list[ReasonShape]
    excluded: ExclusionShape | None
    outcomes: list[str] = Field(description="Of its attempts")


class LeftOutShape(BaseModel):
    """Models that the plan left out for one cause."""

    cause: str
    count: int
    examples: list[str]


class ExplanationShape(BaseModel):
    """The plan as it was, and the choice derived from it again."""

    router: str
    plan_hash: str
    plan_inputs: dict[str, int] = Field(description="Positions of what the plan was made from")
    again: Literal["same", "different"] = Field(description="Whether the log gives the same choice again")
    candidates: list[ExplainedCandidate]
    left_out: list[LeftOutShape]


class ExplainedRequest(RequestShape):
    """One request's record, and why it went where it went."""

    explanation: ExplanationShape | None = Field(description="null: no router decided, the request named its model")


def explained_request(record: UsageRecord, explanation: Explanation | None) -> ExplainedRequest:
    """Return a record and its explanation for the wire."""
    fields: dict[str, Any] = dict(request_shape(record))
    return ExplainedRequest(**fields, explanation=None if explanation is None else _explanation(explanation))


def _explanation(found: Explanation) -> ExplanationShape:
    plan = found.plan
    return ExplanationShape(
        router=plan.slug,
        plan_hash=plan.hash,
        plan_inputs=plan.inputs,
        again=found.again,
        candidates=[_candidate(item) for item in found.candidates],
        left_out=[
            LeftOutShape(cause=item.cause, count=item.count, examples=list(item.examples)) for item in plan.left_out
        ],
    )


def _candidate(item: Explained) -> ExplainedCandidate:
    reasons = item.candidate.reasons
    return ExplainedCandidate(
        place=item.place,
        order=item.order,
        provider=item.candidate.provider,
        model=item.candidate.model,
        reasons=[ReasonShape(strategy=r.strategy, score=r.score, because=r.because) for r in reasons],
        excluded=None if item.excluded is None else exclusion_shape(item.excluded),
        outcomes=list(item.outcomes),
    )
