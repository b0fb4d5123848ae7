"""What every translation between a client's and a vendor's dialect is: a request to send, a reader of the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.contracts.frames import Fail, FailureKind, Frame
from shared.contracts.usage import Tokens


class Reader(Protocol):
    """Turns the bytes of one streamed answer into frames; after a ``Tail`` or ``Fail`` nothing more is read."""

    @property
    def alive(self) -> bool:
        """Whether the model has begun: content or reasoning came, not just a role, a ping or a comment."""
        ...

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return ``Data``, and a ``Tail`` or ``Fail`` last where the answer is over."""
        ...

    def finish(self) -> list[Frame]:
        """The connection ended: return what is left, and a ``Tail`` or ``Fail`` last."""
        ...

    def tokens(self) -> Tokens:
        """Return the tokens so far, for an attempt that ends here by other means."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the vendor understands it, and how its answer is read."""

    path: str
    """Relative to the provider's base URL."""
    body: dict[str, Any]
    reader: Callable[[], Reader]
    """Makes the reader of a streamed answer."""
    whole: Callable[[bytes], list[Frame]]
    """Reads a whole answer: ``Data`` and ``Tail``, or one ``Fail``."""
    dropped: tuple[str, ...] = ()
    """Parameters of the client's that are not sent."""


def unsupported(param: str, message: str) -> Fail:
    """Return the refusal of a request that this dialect cannot carry."""
    return Fail(kind=FailureKind.UNSUPPORTED, message=message, http_status=400, param=param)


def malformed(message: str) -> Fail:
    """Return the failure of an answer that is not the dialect."""
    return Fail(kind=FailureKind.MALFORMED, message=message)
