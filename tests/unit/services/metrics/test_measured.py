"""What is measured of models and routers, and how it is told."""

import dataclasses
from typing import Any

import pytest

from services.metrics.domain.measured import MIX_HALF_LIFE_S, SPEED_HALF_LIFE_S, Measured, Sample
from shared.contracts.speed import SpeedMeasured
from shared.contracts.usage import Tokens
from shared.log.port import LR_FACTS, SPEED_SUBJECT
from shared.testing.usage import attempt, usage_record

NOW = 1_767_268_800.0


def sample(**fields: Any) -> Sample:
    usual: dict[str, Any] = {
        "time_s": NOW,
        "model": "a/1",
        "router": "cheap",
        "input_tokens": 100,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 100,
        "duration_ms": 3_000.0,
        "ttft_ms": 1_000.0,
    }
    return Sample(**{**usual, **fields})


def test_a_stream_tells_the_time_to_its_first_token_and_the_pace_after_it():
    measured = Measured()
    measured.take([sample()])
    speeds, mixes = measured.told(NOW)
    assert (speeds["a/1"].ttft_ms, speeds["a/1"].tokens_per_s, speeds["a/1"].samples) == (1_000.0, 50.0, 1.0)
    assert (mixes["cheap"].input, mixes["cheap"].output) == (100.0, 100.0)


def test_a_whole_answer_tells_a_pace_and_no_first_token():
    measured = Measured()
    measured.take([sample(ttft_ms=None, duration_ms=2_000.0)])
    assert measured.told(NOW)[0]["a/1"].ttft_ms is None
    assert measured.told(NOW)[0]["a/1"].tokens_per_s == 50.0


def test_an_answer_of_a_word_tells_no_pace():
    measured = Measured()
    measured.take([sample(output_tokens=1)])
    assert measured.told(NOW)[0]["a/1"].tokens_per_s is None


def test_what_is_half_a_life_old_weighs_half():
    measured = Measured()
    measured.take([sample(ttft_ms=100.0), sample(ttft_ms=400.0, time_s=NOW + SPEED_HALF_LIFE_S)])
    assert measured.told(NOW + SPEED_HALF_LIFE_S)[0]["a/1"].ttft_ms == pytest.approx(300.0)


def test_what_nobody_asks_any_more_is_forgotten():
    measured = Measured()
    measured.take([sample()])
    speeds, mixes = measured.told(NOW + 10 * SPEED_HALF_LIFE_S)
    assert speeds == {}
    assert mixes
    assert measured.told(NOW + 10 * MIX_HALF_LIFE_S) == ({}, {})
    assert measured == Measured()


async def told(rig: Any) -> list[SpeedMeasured]:
    found = [item.event.data async for item in rig.log.read(LR_FACTS, SPEED_SUBJECT) if item.event is not None]
    assert all(isinstance(item, SpeedMeasured) for item in found)
    return found  # pyright: ignore[reportReturnType]


async def test_what_the_traffic_shows_is_told_and_goes_on_after_a_restart(rig):
    def answered(number: int, duration_ms: float) -> Any:
        tokens = Tokens(input=10, output=100, source="provider")
        only = attempt("p/m", tokens=tokens)
        return usage_record(number, only, router="cheap", stream=True, duration_ms=duration_ms, ttft_ms=1_000.0)

    rig.settings = dataclasses.replace(rig.settings, measured_every_s=0.01)
    async with rig.running() as client:
        await rig.publish(answered(1, 3_000.0))
        await rig.projected(client)
        await rig.eventually(lambda: _samples(rig, 1.0))
    async with rig.running() as client:
        await rig.publish(answered(2, 2_000.0))
        await rig.projected(client)
        await rig.eventually(lambda: _samples(rig, 2.0))
    first, *_, last = await told(rig)
    assert (first.models["p/m"].tokens_per_s, first.models["p/m"].samples) == (50.0, 1.0)
    assert (last.models["p/m"].tokens_per_s, last.models["p/m"].samples) == (75.0, 2.0)
    assert last.routers["cheap"].output == 100.0


async def _samples(rig: Any, wanted: float) -> bool:
    found = await told(rig)
    return bool(found) and found[-1].models["p/m"].samples == wanted
