"""Plans follow the world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.router.adapters.compiler import MANY_MODELS
from services.router.domain.defaults import DEFAULTS
from services.router.settings import RouterSettings
from shared.contracts.catalog import Model, PlanCompiled, Prices
from shared.contracts.config import AutomaticOrder, RouterCreated, RouterDeleted, RouterReplaced, RouterSpec, Strategy
from shared.contracts.envelope import decode_event
from shared.contracts.plan import Plan, decode_plan, encode_plan
from shared.kernel.errors import LogUnavailable
from shared.log.port import CATALOG, LEASES, LR_CONFIG, LR_FACTS, PLANS
from shared.runtime.settings import Settings

MINIMUM_COST, MAXIMUM_PERFORMANCE = (default.id for default in DEFAULTS)
SPEC = RouterSpec(slug="local", name="Local", order=AutomaticOrder(strategies=(Strategy("local_first"),)))


async def facts(house: Any) -> list[PlanCompiled]:
    return [decode_event(item.raw).data async for item in house.log.read(LR_FACTS)]  # pyright: ignore[reportReturnType]


async def test_the_default_routers_have_plans_from_the_first_start(
    house: Any, make_model: Callable[..., Model], usd: Callable[[float], Prices]
):
    await house.catalog("p", make_model("p/dear", prices=usd(9), parameters_b=70.0))
    await house.catalog("q", make_model("q/cheap", prices=usd(1), parameters_b=7.0))
    await house.plan_with("minimum-cost", "q/cheap", "p/dear")
    await house.plan_with("maximum-performance", "p/dear", "q/cheap")


async def test_a_default_router_that_was_deleted_stays_deleted(house: Any):
    await house.write(f"lr.config.router.{MINIMUM_COST}", RouterDeleted(router_id=MINIMUM_COST))
    service = house.another()
    await service.start()
    await service.stop()
    created = [item async for item in house.log.read(LR_CONFIG, f"lr.config.router.{MINIMUM_COST}")]
    assert len(created) == 2


async def test_a_new_router_gets_a_plan_and_a_changed_one_another(house: Any):
    await house.catalog("p", "a", "b")
    await house.write("lr.config.router.1", RouterCreated(router_id="1", spec=SPEC))
    await house.plan_with("local", "p/a", "p/b")
    narrow = msgspec.structs.replace(SPEC, models=msgspec.convert({"include": ("p/b",)}, type(SPEC.models)))
    await house.write("lr.config.router.1", RouterReplaced(router_id="1", spec=narrow))
    await house.plan_with("local", "p/b")


async def test_the_plan_of_a_deleted_router_goes(house: Any):
    await house.plan_with("minimum-cost")
    await house.write(f"lr.config.router.{MINIMUM_COST}", RouterDeleted(router_id=MINIMUM_COST))

    async def gone() -> bool:
        return "minimum-cost" not in await house.plans()

    await house.until(gone)


async def test_models_that_go_leave_the_plans(house: Any):
    await house.catalog("p", "a")
    await house.plan_with("minimum-cost", "p/a")
    await house.log.bucket(CATALOG).purge("id-p")
    await house.plan_with("minimum-cost")


async def test_a_plan_is_announced_when_it_differs_and_only_then(house: Any):
    await house.plan_with("minimum-cost")
    await house.plan_with("maximum-performance")
    before = await facts(house)
    await house.catalog("p", "a")
    plan = await house.plan_with("minimum-cost", "p/a")
    await house.plan_with("maximum-performance", "p/a")
    await house.catalog("p", "a", stale=True)  # nothing that a plan is made of
    await house.catalog("p", "a", "b")
    await house.plan_with("minimum-cost", "p/a", "p/b")
    await house.plan_with("maximum-performance", "p/a", "p/b")
    told = [fact for fact in (await facts(house))[len(before) :] if fact.router_id == MINIMUM_COST]
    assert [decode_plan(fact.plan).hash for fact in told] == [fact.plan_hash for fact in told]
    assert len(told) == 2
    assert told[0].plan_hash == plan.hash


async def test_a_change_of_one_router_leaves_the_others_alone(house: Any):
    await house.plan_with("minimum-cost")
    await house.plan_with("maximum-performance")
    before = await house.log.bucket(PLANS).get(MINIMUM_COST)
    await house.write("lr.config.router.1", RouterCreated(router_id="1", spec=SPEC))
    await house.plan_with("local")
    assert await house.log.bucket(PLANS).get(MINIMUM_COST) == before


async def test_a_plan_of_a_later_lease_is_not_overwritten(house: Any):
    plan = await house.plan_with("minimum-cost")
    later = msgspec.structs.replace(plan, hash="later", inputs=plan.inputs | {"epoch": 99})
    await house.log.bucket(PLANS).put(MINIMUM_COST, encode_plan(later))
    await house.catalog("p", "a")
    await house.plan_with("maximum-performance", "p/a")
    assert (await house.plans())["minimum-cost"] == later


async def test_a_plan_from_newer_inputs_under_the_same_lease_is_not_overwritten(house: Any):
    plan = await house.plan_with("minimum-cost")
    newer = msgspec.structs.replace(plan, hash="newer", inputs=plan.inputs | {"lr_catalog": 10**6})
    await house.log.bucket(PLANS).put(MINIMUM_COST, encode_plan(newer))
    await house.catalog("p", "a")
    await house.plan_with("maximum-performance", "p/a")
    assert (await house.plans())["minimum-cost"] == newer


async def test_a_published_plan_that_does_not_read_is_replaced(house: Any):
    await house.plan_with("minimum-cost")
    await house.log.bucket(PLANS).put(MINIMUM_COST, b"?")
    await house.catalog("p", "a")

    async def replaced() -> Plan | None:
        entry = await house.log.bucket(PLANS).get(MINIMUM_COST)
        return None if entry.value == b"?" else decode_plan(entry.value)

    assert [item.model for item in (await house.until(replaced)).candidates] == ["p/a"]


async def test_a_frozen_router_keeps_its_last_plan_and_readiness_names_it(house: Any):
    await house.catalog("p", "a")
    last = await house.plan_with("minimum-cost", "p/a")
    await house.log.publish(f"lr.config.router.{MINIMUM_COST}", b"not an event", message_id="1")
    await house.catalog("p", "a", "b")
    await house.plan_with("maximum-performance", "p/a", "p/b")
    assert (await house.plans())["minimum-cost"] == last
    assert any("router minimum-cost keeps its last plan" in reason for reason in house.service.not_ready())


async def test_a_router_with_a_strategy_that_is_gone_keeps_its_last_plan(house: Any):
    await house.write("lr.config.router.1", RouterCreated(router_id="1", spec=SPEC))
    last = await house.plan_with("local")
    order = AutomaticOrder(strategies=(Strategy("luck"),))
    await house.write(
        "lr.config.router.1", RouterReplaced(router_id="1", spec=msgspec.structs.replace(SPEC, order=order))
    )

    async def named() -> bool:
        return any("unknown strategy 'luck'" in reason for reason in house.service.not_ready())

    await house.until(named)
    assert (await house.plans())["local"] == last
    await house.write("lr.config.router.1", RouterReplaced(router_id="1", spec=SPEC))

    async def ready() -> bool:
        return house.service.not_ready() == []

    await house.until(ready)


async def test_a_catalog_of_many_models_is_compiled_too(house: Any):
    await house.catalog("p", *(f"{number:05}" for number in range(MANY_MODELS)))

    async def full() -> bool:
        plan = (await house.plans()).get("minimum-cost")
        return plan is not None and len(plan.candidates) == 24

    await house.until(full)


async def test_without_the_lease_nothing_is_published_and_whoever_takes_over_publishes_everything(house: Any):
    await house.plan_with("minimum-cost")
    second = house.another()
    await second.start()
    try:
        assert second.not_ready() == []
        await house.service.stop()
        await house.log.bucket(PLANS).purge(MINIMUM_COST)
        await house.log.bucket(PLANS).put("gone", b"?")

        async def swept() -> bool:
            return await house.log.bucket(PLANS).get("gone") is None

        await house.until(swept)
        await house.plan_with("minimum-cost")
        assert (await house.plans())["minimum-cost"].inputs["epoch"] == 2
    finally:
        await second.stop()
    assert await house.log.bucket(LEASES).get("compiler") is not None


async def test_a_log_that_is_away_is_tried_again_until_the_plans_are_out(house: Any, monkeypatch: pytest.MonkeyPatch):
    await house.plan_with("minimum-cost")
    publish, refused = house.log.publish, 0

    async def away_twice(subject: str, payload: bytes, *, message_id: str) -> int:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise LogUnavailable("cut off")
        return await publish(subject, payload, message_id=message_id)

    monkeypatch.setattr(house.log, "publish", away_twice)
    await house.catalog("p", "a")
    await house.plan_with("minimum-cost", "p/a")
    await house.plan_with("maximum-performance", "p/a")
    assert refused == 2


async def test_a_plan_published_by_another_at_the_same_moment_is_compared_again(
    house: Any, monkeypatch: pytest.MonkeyPatch
):
    plan = await house.plan_with("minimum-cost")
    publish, bucket = house.log.publish, house.log.bucket(PLANS)

    async def with_another(subject: str, payload: bytes, *, message_id: str) -> int:
        monkeypatch.setattr(house.log, "publish", publish)
        await bucket.put(MINIMUM_COST, encode_plan(msgspec.structs.replace(plan, hash="other")))
        await bucket.put(MAXIMUM_PERFORMANCE, encode_plan(msgspec.structs.replace(plan, hash="other")))
        return await publish(subject, payload, message_id=message_id)

    monkeypatch.setattr(house.log, "publish", with_another)
    await house.catalog("p", "a")
    await house.plan_with("minimum-cost", "p/a")
    await house.plan_with("maximum-performance", "p/a")


def test_the_router_listens_where_the_settings_say(tmp_path: Path):
    settings = RouterSettings.from_settings(Settings(), tmp_path)
    assert (settings.host, settings.port) == ("127.0.0.1", 3001)
