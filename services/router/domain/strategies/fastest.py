"""Quicker models before slower ones, as measured in the own traffic."""

from typing import Final

from shared.contracts.catalog import Model
from shared.routing.scoring import Evidence, Score

ANSWER_TOKENS: Final = 300
"""The length of a usual answer, over which the time to the first token and the pace after it are added up."""
LEAST_SAMPLES: Final = 1.0
"""Fewer than that after decay say nothing."""

_UNMEASURED: Final = Score(0.0, because="not measured yet", tier=1)


def score(model: Model, evidence: Evidence) -> Score:
    """Return the milliseconds that a usual answer takes; what was not measured comes after everything that was."""
    speed = evidence.speeds.get(model.id)
    if speed is None or speed.samples < LEAST_SAMPLES or not speed.tokens_per_s:
        return _UNMEASURED
    first = speed.ttft_ms or 0.0
    total = float(f"{first + 1_000 * ANSWER_TOKENS / speed.tokens_per_s:.3g}")
    begins = "" if speed.ttft_ms is None else f"first token in {first:.0f} ms, "
    return Score(total, because=f"{begins}{speed.tokens_per_s:.3g} tokens/s: {total:g} ms an answer")
