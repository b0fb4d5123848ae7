"""Prices of known vendors, looked up in a process of its own: the data takes 40 MB that nobody needs afterwards.

``python -m services.providers.adapters.price_book`` reads ``{"<vendor>": ["<model>", …]}`` and writes a ``Book``.
"""

import asyncio
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from services.providers.domain.catalog import Priced
from shared.contracts.catalog import Prices
from shared.kernel.money import parse_usd

_MODULE: Final = "services.providers.adapters.price_book"
_ROOT: Final = Path(__file__).parents[3]
"""Where the child finds its module, wherever we were started."""
_LIMIT_S: Final = 60.0
_ENCODE: Final = msgspec.json.Encoder().encode

log = structlog.get_logger("providers")


class Book(msgspec.Struct, kw_only=True):
    """Prices by vendor and model id; a model that the data does not know is there without prices."""

    version: str
    vendors: dict[str, dict[str, Priced]]


class PriceBook:
    """Answers from a file in the data folder and asks the child for models it has not seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = f"genai-prices {version('genai-prices')}"
        self._book: Book | None = None
        self._asking = asyncio.Lock()

    @property
    def version(self) -> str:
        """The version of the price data."""
        return self._version

    async def prices(self, vendor: str, models: list[str]) -> dict[str, Priced]:
        """Return what is known of ``models`` of ``vendor``, by model; nothing where the child fails."""
        async with self._asking:
            book = self._book or await asyncio.to_thread(self._load)
            self._book = book
            known = book.vendors.setdefault(vendor, {})
            missing = [model for model in models if model not in known]
            if missing:
                known |= await self._ask(vendor, missing)
                await asyncio.to_thread(self._save, _ENCODE(book))
        return {model: known[model] for model in models if model in known}

    def _load(self) -> Book:
        try:
            book = msgspec.json.decode(self._path.read_bytes(), type=Book)
        except (OSError, msgspec.DecodeError):
            book = None
        return book if book is not None and book.version == self._version else Book(version=self._version, vendors={})

    def _save(self, raw: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(raw)
        temporary.replace(self._path)

    async def _ask(self, vendor: str, models: list[str]) -> dict[str, Priced]:
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
            return msgspec.json.decode(answer, type=Book).vendors[vendor]
        except (TimeoutError, msgspec.DecodeError, KeyError) as error:
            log.warning("no prices", vendor=vendor, error=str(error) or type(error).__name__)
            return {}
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def look_up(asked: dict[str, list[str]], now: datetime) -> Book:
    """Return the prices as of ``now``; imports the data."""
    from genai_prices import data_snapshot

    snapshot = data_snapshot.get_snapshot()
    vendors: dict[str, dict[str, Priced]] = {}
    for vendor, models in asked.items():
        known = vendors[vendor] = dict[str, Priced]()
        for model in models:
            try:
                _, found = snapshot.find_provider_model(model, None, vendor, None)
            except LookupError:
                known[model] = Priced()
                continue
            known[model] = Priced(prices=_prices(found.get_prices(now)), context_window=found.context_window)
    return Book(version=f"genai-prices {version('genai-prices')}", vendors=vendors)


def _prices(found: Any) -> Prices | None:
    """Return prices at the base tier, in pico-USD per million tokens."""
    given, made = _amount(found.input_mtok), _amount(found.output_mtok)
    if given is None:
        return None
    requests = _amount(getattr(found, "requests_kcount", None))
    return Prices(
        input=given,
        output=made or 0,
        cached=_amount(found.cache_read_mtok),
        cache_write=_amount(found.cache_write_mtok),
        request=0 if requests is None else requests // 1_000,
    )


def _amount(value: Any) -> int | None:
    base = getattr(value, "base", value)
    return parse_usd(base) if isinstance(base, Decimal) else None


def main() -> None:
    """Answer one question."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, list[str]])
    sys.stdout.buffer.write(_ENCODE(look_up(asked, datetime.now(UTC))))


if __name__ == "__main__":
    main()
