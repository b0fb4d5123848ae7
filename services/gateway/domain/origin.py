"""Which hosts this gateway answers to and which web origins may call it: the guard against DNS rebinding."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_REMEMBERED: Final = 1_000


class Hosts:
    """The names this gateway answers to: loopback, the machine's own where it listens on them, and those allowed."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = LOOPBACK | {name.lower().strip("[]") for name in names}
        self._seen: dict[bytes, bool] = {}

    def __contains__(self, host: bytes) -> bool:
        """Whether a Host header (with or without port) names this gateway."""
        known = self._seen.get(host)
        if known is None:
            known = _hostname("//" + host.decode("latin-1")) in self._names
            if len(self._seen) < _MAX_REMEMBERED:
                self._seen[host] = known
        return known


class Origins:
    """The web origins that may call: loopback on any port, and those configured."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def __contains__(self, origin: bytes) -> bool:
        """Whether an Origin header may call."""
        text = origin.decode("latin-1").lower()
        return text in self._origins or (text.startswith(("http://", "https://")) and _hostname(text) in LOOPBACK)


def _hostname(url: str) -> str | None:
    if "?" in url or "#" in url:
        return None  # an empty query or fragment is nothing to urlsplit
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return parts.hostname
