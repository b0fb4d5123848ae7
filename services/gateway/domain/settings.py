"""The routed defaults: what a new key points at and what an unknown price means."""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from shared.contracts.config import SettingsChanged, Target
from shared.contracts.envelope import EventData
from shared.log.aggregates import Decider, Decision

SETTINGS_ID: Final = "defaults"


class RoutedDefaults(msgspec.Struct, frozen=True):
    """The defaults as their events made them."""

    default_target: Target = Target(router="minimum-cost")
    unpriced: Literal["allow", "refuse"] = "allow"


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Make the defaults be as ``defaults`` says."""

    defaults: RoutedDefaults


def decide(command: ChangeSettings, current: RoutedDefaults) -> Decision:
    """Return the events that ``command`` leads to."""
    wanted = command.defaults
    if wanted == current:
        return []
    return [SettingsChanged(default_target=wanted.default_target, unpriced=wanted.unpriced)]


def evolve(current: RoutedDefaults, event: EventData) -> RoutedDefaults:
    """Return the defaults after ``event``."""
    if isinstance(event, SettingsChanged):
        return RoutedDefaults(event.default_target, event.unpriced)
    return current


SETTINGS: Final = Decider("settings", RoutedDefaults, decide, evolve)
