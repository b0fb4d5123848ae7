"""Health and catalog of living providers: probes, transitions, what others are told."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.providers.domain.health import Probed, health_of, outcome_of_attempt, outcome_of_probe
from shared.contracts.catalog import CatalogRefreshed, HealthChanged, ProviderCatalog
from shared.contracts.config import ProviderOptions, ProviderSpec
from shared.contracts.frames import Fail, FailureKind, Tail
from shared.log.facts import Facts
from shared.log.folds import FoldRunner
from shared.log.port import CATALOG, LR_CONFIG, LR_FACTS, LR_HEALTH
from shared.routing.health import HealthOverlay
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.service import Service
from shared.testing import upstream_behaviour as does
from shared.testing.completions_contract import PROVIDER, completion, frames_of
from shared.testing.upstream import Upstream


@pytest.mark.parametrize(
    ("probed", "health", "outcome"),
    [
        (Probed(200, 0.1), "healthy", "success"),
        (Probed(200, 3.0), "degraded", "success"),
        (Probed(404, 0.1), "healthy", "success"),
        (Probed(501, 0.1), "healthy", "success"),
        (Probed(429, 0.1), "degraded", "neutral"),
        (Probed(401, 0.1), "unhealthy", "neutral"),
        (Probed(500, 0.1), "unhealthy", "failure"),
        (Probed(None, 5.0, "no answer"), "unhealthy", "failure"),
    ],
)
def test_a_probe_shows_health(probed, health, outcome):
    assert health_of(probed, 2.0)[0] == health
    assert outcome_of_probe(probed) == outcome


def test_an_attempt_says_something_about_the_provider_or_nothing():
    assert outcome_of_attempt(Tail()) == "success"
    assert outcome_of_attempt(None) == "neutral"
    for kind in FailureKind:
        assert outcome_of_attempt(Fail(kind=kind, message="")) == ("failure" if kind.hurts_health else "neutral")


def at(wall: Upstream, **options) -> ProviderSpec:
    return ProviderSpec(
        slug="wall",
        vendor="openai-compatible",
        base_url=f"{wall.url}/v1",
        local=True,
        options=ProviderOptions(**options),
    )


async def told(
    running, *, breaker: str | None = None, health: str | None = None, after: HealthChanged | None = None
) -> HealthChanged:
    """Return the first published transition of the wall to that state, in an epoch later than ``after``'s."""
    async for recorded in running.log.follow(LR_HEALTH, f"lr.health.{PROVIDER}"):
        assert recorded.event is not None
        data = recorded.event.data
        assert isinstance(data, HealthChanged)
        if after is not None and data.epoch <= after.epoch:
            continue
        if breaker in (None, data.breaker) and health in (None, data.health):
            return data
    raise AssertionError


async def test_health_is_published_when_it_changes(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), None)) as running:
        first = await told(running, health="healthy")
        assert (first.breaker, first.provider) == ("closed", "wall")
        wall.script("small", does.server_error(), repeat=True)
        for _ in range(3):
            await frames_of(running.completions, completion())
        opened = await told(running, breaker="open")
    assert opened.epoch > first.epoch


async def test_an_open_breaker_closes_when_the_probe_answers_again(house):
    async with Upstream() as wall, house((PROVIDER, at(wall, breaker_open_s=0.05), None)) as running:
        wall.script("small", does.server_error(), does.server_error(), does.server_error())
        await told(running, health="healthy")
        for _ in range(3):
            await frames_of(running.completions, completion())
        await told(running, breaker="open")
        async for recorded in running.log.follow(LR_HEALTH, f"lr.health.{PROVIDER}", after=2):
            assert recorded.event is not None
            if getattr(recorded.event.data, "breaker", None) == "closed":
                break
        (*_, last) = await frames_of(running.completions, completion())
    assert isinstance(last, Tail)


async def open_the_breaker(running, wall: Upstream) -> None:
    await told(running, health="healthy")
    wall.script("small", does.server_error(), does.server_error(), does.server_error())
    for _ in range(3):
        await frames_of(running.completions, completion())
    await told(running, breaker="open")


async def test_an_open_breaker_stays_open_over_a_restart(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), None)) as first:
        await open_the_breaker(first, wall)
        async with first.again() as second:
            (failure,) = await frames_of(second.completions, completion())
            assert second.board.shown(PROVIDER)[2] == "open"
    assert isinstance(failure, Fail)
    assert failure.kind is FailureKind.UNAVAILABLE
    assert len(wall.completions) == 3


async def test_a_restart_does_not_make_a_breaker_rest_longer(house):
    async with Upstream() as wall, house((PROVIDER, at(wall, breaker_open_s=0.2), None)) as first:
        await open_the_breaker(first, wall)
        await asyncio.sleep(0.2)  # the rest itself: time is what is tested
        async with first.again() as second:
            async with asyncio.timeout(5):
                while second.board.shown(PROVIDER)[2] == "half_open":  # noqa: ASYNC110  a probe tries it just now
                    await asyncio.sleep(0.005)
            (*_, last) = await frames_of(second.completions, completion())
    assert isinstance(last, Tail)


async def heard(running, service: Service) -> None:
    """Wait, for less than a second, until a process knows all transitions that were told."""
    follower = next(p for p in service.parts if isinstance(p, FoldRunner) and p.fold.stream == LR_HEALTH)
    await follower.reached((await running.log.position(LR_HEALTH)).sequence, limit_s=1.0)


async def test_what_one_process_sees_the_others_follow(house):
    async with Upstream() as wall, house((PROVIDER, at(wall, probe_interval_s=1000), None)) as running:
        first, first_board = running.service, running.board
        async with running.again() as second:
            await open_the_breaker(second, wall)
            await heard(running, first)
            assert first_board.shown(PROVIDER)[2] == "open"
            first_board.reset(running.view(PROVIDER))
            await told(running, breaker="closed", after=await told(running, breaker="open"))
            await heard(running, second.service)
            assert second.board.shown(PROVIDER)[2] == "closed"
            (*_, last) = await frames_of(second.completions, completion())
    assert isinstance(last, Tail)


async def test_when_the_process_that_probes_ends_another_does(house):
    async with Upstream() as wall, house((PROVIDER, at(wall, probe_interval_s=1000), None)) as running:
        before = await told(running, health="healthy")
        first = running.service
        async with running.again() as second:
            wall.script("/v1/models", does.server_error(), repeat=True)
            await first.stop()
            after = await told(second, health="unhealthy")
    assert (before.fence, after.fence) == (1, 2)


async def test_a_late_word_of_a_former_prober_is_overruled(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), None)) as running:
        await told(running, health="healthy")
        late = HealthChanged(provider_id=PROVIDER, provider="wall", health="unhealthy", breaker="open", epoch=1)
        facts = Facts(running.log, clock=SYSTEM_CLOCK, new_id=new_id, source="providers")
        await facts.publish(f"lr.health.{PROVIDER}", late, about=f"health/{PROVIDER}")
        async with asyncio.timeout(5):
            states = [item async for item in first_of(running, 3)]
        assert [state.health for state in states] == ["healthy", "unhealthy", "healthy"]
        assert running.board.shown(PROVIDER)[0] == "healthy"
        overlay = HealthOverlay()
        for state in states[:2]:
            overlay.take(state)
        assert overlay.states[PROVIDER].health == "healthy"


async def first_of(running, count: int) -> AsyncIterator[HealthChanged]:
    async for recorded in running.log.follow(LR_HEALTH, f"lr.health.{PROVIDER}"):
        assert recorded.event is not None
        assert isinstance(recorded.event.data, HealthChanged)
        yield recorded.event.data
        count -= 1
        if not count:
            return


async def test_retry_after_is_a_floor_under_an_open_breaker_and_told_to_every_gateway(house):
    async with Upstream() as wall, house((PROVIDER, at(wall, breaker_open_s=0.05), None)) as running:
        await told(running, health="healthy")
        wall.script("small", does.failure(503, "try later", headers={"retry-after": "60"}), repeat=True)
        for _ in range(3):
            await frames_of(running.completions, completion())
        opened = await told(running, breaker="open")
        assert opened.cool_until is not None
        await asyncio.sleep(0.1)  # longer than the breaker rests by itself
        (failure,) = await frames_of(running.completions, completion())
        assert isinstance(failure, Fail)
        assert failure.kind is FailureKind.UNAVAILABLE
        running.board.reset(running.view(PROVIDER))
        closed = await told(running, breaker="closed", after=opened)
        assert closed.cool_until is None


async def test_a_provider_that_is_down_keeps_its_models_as_stale(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), None)) as running:
        known = await catalog(running)
        assert [model.native_id for model in known.models] == ["large", "small"]
        assert not known.stale
        wall.script("/v1/models", does.server_error(), repeat=True)
        await running.refresh(PROVIDER)
        after = await catalog(running)
        assert after.stale
        assert after.models == known.models
        assert after.refreshed_at == known.refreshed_at


async def catalog(running) -> ProviderCatalog:
    async for entry in running.log.bucket(CATALOG).watch():
        if entry is not None and entry.key == PROVIDER and entry.value is not None:
            return msgspec.json.decode(entry.value, type=ProviderCatalog)
    raise AssertionError


async def test_a_list_of_several_pages_is_read_to_its_end(house):
    async with Upstream() as wall:
        anthropic = msgspec.structs.replace(at(wall), vendor="anthropic")
        pages = [
            {"data": [{"type": "model", "id": "one"}], "has_more": True, "last_id": "one"},
            {"data": [{"type": "model", "id": "two"}], "has_more": True, "last_id": "two"},
            {"data": [{"type": "model", "id": "two"}], "has_more": True, "last_id": "two"},
        ]
        async with house((PROVIDER, anthropic, "sk-ant-key")) as running:
            await told(running, health="healthy")
            await catalog(running)
            wall.script("/v1/models", *(does.Behaviour(body=msgspec.json.encode(page).decode()) for page in pages))
            await running.refresh(PROVIDER)
            found = await catalog(running)
    assert [model.native_id for model in found.models] == ["one", "two"]


async def test_a_vendor_without_a_list_is_healthy_when_anything_answers_and_has_the_models_that_are_named(house):
    async with Upstream() as wall:
        spec = msgspec.structs.replace(at(wall, models=("sonar",)), vendor="perplexity", base_url=f"{wall.url}/none")
        async with house((PROVIDER, spec, "pplx-key")) as running:
            assert (await told(running, health="healthy")).reason == ""
            found = await catalog(running)
    assert [model.native_id for model in found.models] == ["sonar"]
    assert not found.stale


async def test_a_catalog_is_written_and_told_only_when_it_changes(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), None)) as running:
        await catalog(running)
        before = await running.log.bucket(CATALOG).get(PROVIDER)
        await running.refresh(PROVIDER)
        assert await running.log.bucket(CATALOG).get(PROVIDER) == before
        wall.models.append("third")
        await running.refresh(PROVIDER)
        facts = [
            recorded.event.data
            async for recorded in running.log.read(LR_FACTS, f"lr.facts.catalog.{PROVIDER}")
            if recorded.event is not None
        ]
    assert [fact.added for fact in facts if isinstance(fact, CatalogRefreshed)] == [
        ("wall/large", "wall/small"),
        ("wall/third",),
    ]


async def test_the_built_in_model_is_listed_without_being_started(house):
    async with house(local_model=True) as running:
        provider = await running.fold_id("local")
        entry = await running.log.bucket(CATALOG).get(provider)
        assert entry is not None
        assert entry.value is not None
        (model,) = msgspec.json.decode(entry.value, type=ProviderCatalog).models
    assert (model.id, model.parameters_b, model.context_window) == ("local/smollm2:135m", 0.135, 2_048)
    assert model.prices is not None
    assert model.prices.input == 0


async def test_what_was_removed_does_not_come_back_at_the_next_start(house):
    async with house() as first:
        ollama = await first.fold_id("ollama")
        await first.remove(ollama)
        async with first.again() as second:
            removed = [
                recorded.event.data
                async for recorded in second.log.read(LR_CONFIG, "lr.config.provider.*")
                if recorded.event is not None
            ]
    assert [type(item).__name__ for item in removed] == ["ProviderAdded", "ProviderRemoved"]


async def test_secrets_that_no_event_names_are_swept_at_the_start(house):
    async with house() as first:
        old = "credential-01800000-0000-7000-8000-000000000001"
        await first.log.bucket("lr_secrets").put(old, b"sealed")
        await first.log.bucket("lr_secrets").put("pepper-1", b"sealed")
        await first.secrets.put(old, b"x", context="c")
        async with first.again():
            pass
    assert first.secrets.purged == [old]
