"""What was measured of models and routers in the own traffic: the evidence that strategies go by."""

import msgspec

from shared.contracts.envelope import EventData, event


class Speed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How quickly a model answers: means in which what is older counts less."""

    ttft_ms: float | None = None
    """To the first token of a stream; None: no stream was measured."""
    tokens_per_s: float | None = None
    """Output tokens a second, once they came."""
    samples: float = 0.0
    """How many requests that stands for, after decay."""


class Mix(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tokens of a router's usual request: means in which what is older counts less."""

    input: float = 0.0
    cached: float = 0.0
    cache_write: float = 0.0
    output: float = 0.0
    samples: float = 0.0


@event("speed.measured")
class SpeedMeasured(EventData, frozen=True, kw_only=True):
    """What the traffic showed up to now, whole: a later one replaces an earlier (``LR_FACTS``)."""

    models: dict[str, Speed]
    """By ``<provider>/<model>``."""
    routers: dict[str, Mix]
    """By slug."""
