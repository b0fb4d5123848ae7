"""The compiled plan: everything a gateway needs to choose a model without asking anyone."""

import hashlib
from typing import Any, Final, Literal

import msgspec

from shared.contracts.catalog import Capability, Prices
from shared.contracts.config import Fallback
from shared.kernel.errors import ContractBroken

MAX_CANDIDATES: Final = 32
"""Per capability class."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a candidate stands where it stands, for one strategy."""

    strategy: str
    score: float
    because: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model a request may go to, with all that sending and pricing it needs."""

    provider_id: str
    provider: str
    model: str
    """``<provider slug>/<native id>``."""
    native_id: str
    capabilities: tuple[Capability, ...]
    local: bool = False
    subscription: bool = False
    context_window: int | None = None
    max_output: int | None = None
    parameters_b: float | None = None
    prices: Prices | None = None
    price_version: str | None = None
    reasons: tuple[Reason, ...] = ()
    band: int = 0
    """Candidates of one band are equals until the request itself decides; see ``Plan.spread``."""
    weight: float = 1.0
    """Its share of its band's requests where the spread is ``weighted``."""
    ttft_s: int | None = None
    """How long its first token usually takes, in whole seconds rounded up, where it was measured and is more than one:
    coarse, so that a plan does not change with every measurement."""


class LeftOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Models the compiler left out for one cause."""

    cause: str
    """``not_selected``, ``excluded``, ``disabled``, ``parameters_b``, ``context``, ``price``, ``capabilities``,
    ``not_listed``, ``beyond_limit``."""
    count: int
    examples: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The order of candidates of one router, self-contained: the value of ``lr_plans`` under ``<router id>``.

    ``candidates`` is the union over capability classes (the 32 best of each), in the router's order.
    """

    router_id: str
    slug: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...] = ()
    fallback: Fallback = Fallback()
    on_cut: Literal["error", "continue", "buffer"] = "error"
    affinity: bool = False
    spread: Literal["", "weighted", "least_busy"] = ""
    """How the candidates of a band are ordered at each request: by a hash of its id, or by requests in flight."""
    inputs: dict[str, int] = {}
    """Positions of what it was made from: ``LR_CONFIG``, ``lr_catalog``, ``LR_FACTS``."""
    hash: str = ""
    """Content hash over everything but ``inputs`` and itself."""


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Plan)


def plan_hash(plan: Plan) -> str:
    """Return the content hash of a plan: equal decisions have equal hashes."""
    bare: dict[str, Any] = msgspec.to_builtins(plan)
    bare.pop("inputs", None)
    bare.pop("hash", None)
    return hashlib.sha256(_ENCODER.encode(bare)).hexdigest()[:32]


def encode_plan(plan: Plan) -> bytes:
    """Return the plan as published."""
    return _ENCODER.encode(plan)


def decode_plan(raw: bytes) -> Plan:
    """Read a published plan; raises ContractBroken."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractBroken(f"not a plan: {error}") from error
