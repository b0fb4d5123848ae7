"""How credentials stand: out, resting or in use; told to the log, taken up again from it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.providers.domain.standing import IN_USE, Standing, after, cooled
from shared.contracts.catalog import CredentialHealthChanged, HealthChanged
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Fail, FailureKind, Head, Tail
from shared.log.port import LR_HEALTH
from shared.testing import upstream_behaviour as does
from shared.testing.completions_contract import PROVIDER, completion, frames_of
from shared.testing.upstream import Upstream

F = FailureKind
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def fail(kind: FailureKind, status: int | None = None, wait_ms: int | None = None) -> Fail:
    return Fail(kind=kind, message="", http_status=status, retry_after_ms=wait_ms)


def in_s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("kind", [F.AUTHENTICATION, F.QUOTA])
def test_a_refused_credential_is_out(kind):
    out = after(IN_USE, fail(kind, 401), NOW, alone=True)
    assert (out.state, out.until) == ("rejected", None)
    assert "(401)" in out.reason
    assert after(out, fail(F.RATE_LIMITED, 429, 1_000), NOW, alone=False) == out
    assert out.at(in_s(10**6)) == out


def test_a_limited_credential_rests_as_long_as_the_vendor_says_and_no_shorter():
    resting = after(IN_USE, fail(F.RATE_LIMITED, 429, 60_000), NOW, alone=True)
    assert (resting.state, resting.until) == ("cooling", in_s(60))
    assert after(resting, fail(F.RATE_LIMITED, 429, 1_000), NOW, alone=True) == resting
    assert resting.at(in_s(59)) == resting
    assert resting.at(in_s(60)) == IN_USE


def test_a_limited_credential_rests_unasked_only_where_another_takes_its_place():
    assert after(IN_USE, fail(F.RATE_LIMITED, 429), NOW, alone=True) == IN_USE
    assert after(IN_USE, fail(F.RATE_LIMITED, 429), NOW, alone=False).until == in_s(10)


@pytest.mark.parametrize("kind", [kind for kind in F if kind not in (F.AUTHENTICATION, F.QUOTA, F.RATE_LIMITED)])
def test_other_failures_say_nothing_of_the_credential(kind):
    assert after(IN_USE, fail(kind, 500, 9_000), NOW, alone=False) == IN_USE


def test_a_rejected_credential_does_not_come_back_by_cooling():
    out = Standing("rejected", None, "why")
    assert cooled(out, in_s(5), "a window is used up") == out


def at(wall: Upstream, **fields) -> ProviderSpec:
    given = {"slug": "wall", "vendor": "openai-compatible", "base_url": f"{wall.url}/v1", "local": True}
    return ProviderSpec(**{**given, **fields})


async def told(running, state: str) -> CredentialHealthChanged:
    async with asyncio.timeout(5):
        async for recorded in running.log.follow(LR_HEALTH, f"lr.health.{PROVIDER}.*"):
            assert recorded.event is not None
            data = recorded.event.data
            assert isinstance(data, CredentialHealthChanged)
            if data.state == state:
                return data
    raise AssertionError


async def test_a_rejected_credential_is_sent_no_more_until_it_is_tested_by_hand(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), "sk-one-credential")) as running:
        await probed(running)
        wall.script("small", does.unauthorized())
        await frames_of(running.completions, completion())
        (failure,) = await frames_of(running.completions, completion())
        assert isinstance(failure, Fail)
        assert failure.kind is F.UNAVAILABLE
        assert "refuses it (401)" in failure.message
        assert len(wall.completions) == 1
        await running.prober.probe(running.view(PROVIDER))
        (*_, last) = await frames_of(running.completions, completion())
        assert isinstance(last, Tail)
        await told(running, "in_use")


async def test_a_rejected_credential_is_out_after_a_restart_and_its_provider_too(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), "sk-one-credential")) as first:
        await probed(first)
        wall.script("small", does.unauthorized(), repeat=True)
        await frames_of(first.completions, completion())
        rejected = await told(first, "rejected")
        assert rejected.reason == "the vendor refuses it (401)"
        assert await health(first, "unhealthy") == "no credential is left: the vendor refuses it (401)"
        async with first.again() as second:
            (failure,) = await frames_of(second.completions, completion())
    assert isinstance(failure, Fail)
    assert failure.kind is F.UNAVAILABLE
    assert len(wall.completions) == 1


async def test_a_changed_provider_tries_its_credentials_again(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), "sk-one-credential")) as running:
        await probed(running)
        wall.script("small", does.unauthorized())
        await frames_of(running.completions, completion())
        await running.change(PROVIDER, at(wall, subscription=True))
        (*_, last) = await frames_of(running.completions, completion())
    assert isinstance(last, Tail)


async def test_a_resting_credential_gives_way_and_two_resting_ones_keep_requests_away(house):
    async with Upstream() as wall, house((PROVIDER, at(wall), "sk-one-credential")) as running:
        await running.add_credential(PROVIDER, "sk-two-credential", name="spare")
        await probed(running)
        wall.script("small", does.rate_limited("60"), does.answer(), does.rate_limited("90"))
        (limited,) = await frames_of(running.completions, completion())
        assert isinstance(limited, Fail)
        assert limited.rotated
        head, *_ = await frames_of(running.completions, completion())
        assert isinstance(head, Head)
        assert head.credential_id != limited.credential_id
        (limited,) = await frames_of(running.completions, completion())
        assert isinstance(limited, Fail)
        assert not limited.rotated
        (refused,) = await frames_of(running.completions, completion())
        assert isinstance(refused, Fail)
        assert refused.kind is F.UNAVAILABLE
        assert refused.retry_after_ms is not None
        assert 55_000 < refused.retry_after_ms <= 60_000
        assert len(wall.completions) == 3
        cooling = await changed(running, lambda data: data.cool_until is not None)
        assert cooling.health == "healthy"


async def test_every_credential_is_probed_and_the_provider_is_as_well_as_the_best(house):
    async with (
        Upstream(api_key="sk-good-credential") as wall,
        house((PROVIDER, at(wall), "sk-bad-credential")) as running,
    ):
        await running.add_credential(PROVIDER, "sk-good-credential", name="spare")
        rejected = await told(running, "rejected")
        assert rejected.credential_id == next(iter(running.view(PROVIDER).credentials))
        await health(running, "healthy")


async def probed(running) -> None:
    await health(running, "healthy")


async def health(running, state: str) -> str:
    return (await changed(running, lambda data: data.health == state)).reason


async def changed(running, wanted) -> HealthChanged:
    async with asyncio.timeout(5):
        async for recorded in running.log.follow(LR_HEALTH, f"lr.health.{PROVIDER}"):
            assert recorded.event is not None
            data = recorded.event.data
            assert isinstance(data, HealthChanged)
            if wanted(data):
                return data
    raise AssertionError
