"""Prices of known vendors, looked up in a process of its own: the data takes 40 MB that nobody needs afterwards.

``python -m services.providers.adapters.price_book`` reads ``{"<vendor>": ["<model>", …]}`` and writes a ``Found``.
"""

import asyncio
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import structlog

from services.providers.domain.catalog import Known
from services.providers.domain.public_prices import prices_of, until_of
from shared.kernel.clock import Clock

_MODULE: Final = "services.providers.adapters.price_book"
_ROOT: Final = Path(__file__).parents[3]
"""Where the child finds its module, wherever we were started."""
_LIMIT_S: Final = 60.0
_LAYOUT: Final = 2
"""Of the file: one of another layout is looked up again."""
_ENCODE: Final = msgspec.json.Encoder().encode

log = structlog.get_logger("providers")


class Found(msgspec.Struct, kw_only=True):
    """What is known by vendor and model id; a model that the data does not know is there without prices."""

    version: str
    layout: int = 1
    until: datetime | None = None
    """When one of the prices ends."""
    vendors: dict[str, dict[str, Known]]


class PublicPrices:
    """Answers from a file in the data folder and asks the child for models it has not seen."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._version = f"genai-prices {version('genai-prices')}"
        self._book: Found | None = None
        self._asking = asyncio.Lock()

    @property
    def version(self) -> str:
        """The version of the price data."""
        return self._version

    async def prices(self, vendor: str, models: list[str]) -> dict[str, Known]:
        """Return what is known of ``models`` of ``vendor``, by model; nothing where the child fails."""
        async with self._asking:
            book = self._book or await asyncio.to_thread(self._load)
            if book.until is not None and book.until <= self._clock.now():
                book = self._nothing()
            self._book = book
            known = book.vendors.setdefault(vendor, {})
            missing = [model for model in models if model not in known]
            if missing:
                answer = await self._ask(vendor, missing)
                known |= answer.vendors.get(vendor, {})
                book.until = min((end for end in (book.until, answer.until) if end is not None), default=None)
                await asyncio.to_thread(self._save, _ENCODE(book))
        return {model: known[model] for model in models if model in known}

    def _load(self) -> Found:
        try:
            book = msgspec.json.decode(self._path.read_bytes(), type=Found)
        except (OSError, msgspec.DecodeError):
            book = None
        current = book is not None and (book.version, book.layout) == (self._version, _LAYOUT)
        return book if book is not None and current else self._nothing()

    def _nothing(self) -> Found:
        return Found(version=self._version, layout=_LAYOUT, vendors={})

    def _save(self, raw: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(raw)
        temporary.replace(self._path)

    async def _ask(self, vendor: str, models: list[str]) -> Found:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
        )
        try:
            async with asyncio.timeout(_LIMIT_S):
                answer, _ = await process.communicate(_ENCODE({vendor: models}))
            return msgspec.json.decode(answer, type=Found)
        except (TimeoutError, msgspec.DecodeError) as error:
            log.warning("no prices", vendor=vendor, error=str(error) or type(error).__name__)
            return self._nothing()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def look_up(asked: dict[str, list[str]], now: datetime) -> Found:
    """Return the prices as of ``now``; imports the data."""
    from genai_prices import data_snapshot

    snapshot = data_snapshot.get_snapshot()
    vendors: dict[str, dict[str, Known]] = {}
    ends: list[datetime] = []
    for vendor, models in asked.items():
        known = vendors[vendor] = dict[str, Known]()
        for model in models:
            try:
                _, found = snapshot.find_provider_model(model, None, vendor, None)
            except LookupError:
                known[model] = Known()
                continue
            known[model] = Known(prices=prices_of(found, now), context_window=found.context_window)
            ends += until_of(found, now)
    until = min(ends, default=None)
    return Found(version=f"genai-prices {version('genai-prices')}", layout=_LAYOUT, until=until, vendors=vendors)


def main() -> None:
    """Answer one question."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, list[str]])
    sys.stdout.buffer.write(_ENCODE(look_up(asked, datetime.now(UTC))))


if __name__ == "__main__":
    main()
