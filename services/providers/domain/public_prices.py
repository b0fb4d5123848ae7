"""Prices out of genai-prices: tiers, hours and classes as the data states them. https://github.com/pydantic/genai-prices"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from shared.contracts.catalog import Hours, Prices, Rates, Tier
from shared.kernel.money import parse_usd

_CLASSES: Final[Mapping[str, str]] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
}


def prices_of(model: Any, now: datetime) -> Prices | None:
    """Return the prices of one of the data's models (``ModelInfo``) on the day of ``now``; None where it has none per
    token."""
    turns = _turns(model, now)
    if not turns:
        return _prices(model.get_prices(now))
    usual = _usual(model, now, turns)
    base = _prices(usual)
    if base is None:
        return None
    hours: list[Hours] = []
    for place, start in enumerate(turns):
        end = turns[(place + 1) % len(turns)]
        then = model.get_prices(_on(now, start))
        own = None if then == usual else _prices(then)
        if own is not None:
            rates = Rates(**{name: getattr(own, name) for name in _CLASSES})
            hours.append(Hours(start=start, end=end, rates=rates, tiers=own.tiers))
    return msgspec.structs.replace(base, hours=tuple(hours))


def until_of(model: Any, now: datetime) -> list[datetime]:
    """Return when prices of a model that hold now may be others: where a later one starts."""
    starts: list[datetime] = []
    for price in _conditional(model):
        day = getattr(price.constraint, "start_date", None)
        if day is not None:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            starts += [start] if start > now else []
    return starts


def _conditional(model: Any) -> list[Any]:
    return cast("list[Any]", model.prices) if isinstance(model.prices, list) else []


def _turns(model: Any, now: datetime) -> list[int]:
    """Return the minutes of the day, UTC, at which other prices begin to hold."""
    minutes: set[int] = set()
    for price in _conditional(model):
        for name in ("start_time", "end_time"):
            moment = getattr(price.constraint, name, None)
            if isinstance(moment, time):
                local = datetime.combine(now.date(), moment if moment.tzinfo else moment.replace(tzinfo=UTC))
                utc = local.astimezone(UTC)
                minutes.add(utc.hour * 60 + utc.minute)
    turns = sorted(minutes)
    return [turn for turn in turns if model.get_prices(_on(now, turn)) != model.get_prices(_on(now, turn - 1))]


def _on(now: datetime, minute: int) -> datetime:
    """Return a minute of the day of ``now``, noon's date kept: a turn of prices by date is not one by hour."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(minutes=minute % 1_440)


def _usual(model: Any, now: datetime, turns: list[int]) -> Any:
    """Return the prices that hold for the longest part of the day."""
    spans: list[tuple[int, int]] = []
    for place, start in enumerate(turns):
        here = model.get_prices(_on(now, start))
        length = sum(
            (turns[(other + 1) % len(turns)] - begin) % 1_440
            for other, begin in enumerate(turns)
            if model.get_prices(_on(now, begin)) == here
        )
        spans.append((length, -place))
    return model.get_prices(_on(now, turns[-max(spans)[1]]))


def _prices(found: Any) -> Prices | None:
    """Return prices in pico-USD per million tokens; a tier holds the rates of every class beyond it."""
    base = _rates(found, None)
    if base is None:
        return None
    starts = sorted({tier.start for key in _CLASSES.values() for tier in getattr(getattr(found, key), "tiers", ())})
    tiers = [Tier(above=start, rates=rates) for start in starts if (rates := _rates(found, start)) is not None]
    requests = _amount(getattr(found, "requests_kcount", None), None)
    return Prices(
        **{name: getattr(base, name) for name in _CLASSES},
        request=0 if requests is None else requests // 1_000,
        tiers=tuple(tiers),
    )


def _rates(found: Any, above: int | None) -> Rates | None:
    amounts = {name: _amount(getattr(found, key), above) for name, key in _CLASSES.items()}
    given, made = amounts.pop("input"), amounts.pop("output")
    return None if given is None else Rates(input=given, output=made or 0, **amounts)


def _amount(value: Any, above: int | None) -> int | None:
    """Return a price in pico-USD, beyond ``above`` input tokens where it has tiers."""
    tiers = getattr(value, "tiers", ())
    base = getattr(value, "base", value)
    for tier in tiers:
        if above is not None and tier.start <= above:
            base = tier.price
    return parse_usd(base) if isinstance(base, Decimal) else None
