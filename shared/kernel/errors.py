"""The errors that cross rooms, and the refusal, which is a value.

LocalRouterError
├── SealBroken            a sealed secret does not open: other master key, other context, changed bytes
├── SettingsInvalid       localrouter.yaml or the environment: every error at once
├── StartRefused          the process must not start: folder locked, wrong key, port taken
├── LogError
│   ├── Conflict          somebody else wrote first: re-read and decide again
│   ├── OutcomeUnknown    a time-out: re-read and compare event ids
│   ├── LogUnavailable    the log cannot be reached: nothing was written
│   └── LogDamaged        a stream is missing or went backwards: stop and say so
└── ContractBroken        bytes that are not what the contract says
"""

from dataclasses import dataclass


class LocalRouterError(Exception):
    """Something is broken and a person or a caller must know."""


class SealBroken(LocalRouterError):
    """A sealed secret does not open."""

    def __init__(self, context: str, *, other_master: bool) -> None:
        why = "it was sealed under another master key" if other_master else "its bytes or context were changed"
        super().__init__(f"the secret of {context} does not open: {why}")
        self.other_master = other_master


class SettingsInvalid(LocalRouterError):
    """The settings hold errors; ``problems`` names each with file, line, path, what was found and allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartRefused(LocalRouterError):
    """The process must not start; the message is one sentence for the operator."""


class LogError(LocalRouterError):
    """Something about the event log."""


class Conflict(LogError):
    """Another writer was first; nothing of this append is in the log."""

    def __init__(self, subject: str, expected: int) -> None:
        super().__init__(f"{subject} is past version {expected}")
        self.subject = subject
        self.expected = expected


class OutcomeUnknown(LogError):
    """The server did not answer in time: the append may or may not be in the log."""


class LogUnavailable(LogError):
    """The log cannot be reached; nothing was written."""


class LogDamaged(LogError):
    """The log is not the one it was: a stream is missing, empty or went backwards."""


class ContractBroken(LocalRouterError):
    """Bytes are not what the contract says: unknown type or version, not JSON, wrong shape."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision not to do what was asked: a value, not an exception.

    ``code`` is stable and machine-readable; ``message`` names what, where and what is allowed.
    """

    code: str
    message: str
    status: int = 409
