"""The ``alias`` aggregate: a name of the operator's for one model."""

import re
from dataclasses import dataclass
from typing import Any, Final

from shared.contracts.config import AliasRemoved, AliasSet
from shared.contracts.envelope import EventData
from shared.kernel.errors import Refusal
from shared.log.aggregates import Decider

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,126}[A-Za-z0-9])?")
"""A slash would name a provider or a router."""
_RESERVED: Final = frozenset({"auto"})


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias as its events made it; ``name`` None: it was never set, or removed."""

    name: str | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class SetAlias:
    """Make a name lead to a model."""

    alias_id: str
    name: str
    model: str


@dataclass(frozen=True, slots=True)
class RemoveAlias:
    """Make the name lead nowhere."""

    alias_id: str


Command = SetAlias | RemoveAlias


def decide(command: Command, state: Alias) -> list[EventData] | Refusal:
    """Decide a command."""
    match command:
        case SetAlias(name=name) if not _NAME.fullmatch(name) or name in _RESERVED:
            allowed = "1 to 128 letters, digits, dots, colons, dashes and underscores, and not auto"
            return Refusal("invalid_alias", f"{name!r} cannot be an alias: {allowed}", 422)
        case SetAlias(model=model) if "/" not in model:
            return Refusal("invalid_alias", f"{model!r} is no model: name it as PROVIDER/MODEL", 422)
        case SetAlias(name=name, model=model) if (state.name, state.model) == (name, model):
            return []
        case SetAlias(alias_id=alias_id, name=name, model=model):
            return [AliasSet(alias_id=alias_id, name=name, model=model)]
        case RemoveAlias(alias_id=alias_id):
            return [] if state.name is None else [AliasRemoved(alias_id=alias_id)]


def evolve(state: Alias, event: Any) -> Alias:
    """Apply an event."""
    match event:
        case AliasSet(name=name, model=model):
            return Alias(name, model)
        case AliasRemoved():
            return Alias()
        case _:
            return state


ALIAS: Final[Decider[Alias, Command]] = Decider(
    kind="alias", initial=Alias, decide=decide, evolve=evolve, name_of=lambda state: state.name
)
