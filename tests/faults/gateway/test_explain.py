"""Why a request went where it went, asked after the world changed; and a router against itself."""

from collections.abc import Iterator

import pytest

from tests.support.raw_http import Answer
from tests.support.routes import LIMITS, Route, error, two_providers
from tests.support.system import System, Wall, until


@pytest.fixture
def route(system: System, vendor: Wall) -> Iterator[Route]:
    """Two providers nobody has failed yet."""
    with two_providers(system, vendor) as made:
        yield made


def slug(got: Answer) -> str:
    return got.header("x-localrouter-router") or ""


def test_a_request_is_explained_in_the_world_of_then(route: Route) -> None:
    route.fails(error(429) | {"headers": {"retry-after": "60"}})
    fell_back, left_alone = route.ask(stream=False), route.ask(stream=True)
    before = [route.record(got)["id"] for got in (fell_back, left_alone)]
    router = slug(fell_back)
    for order in ([route.second], [route.second, route.first], [route.first]):
        body = {"name": router, "order": {"mode": "manual", "models": order}, "fallback": LIMITS}
        route.system.http.put(f"/routers/{router}", json=body).raise_for_status()
        until(lambda order=order: plan_of(route, router) == order, "the plan is another")
    for request in before:
        explained = route.system.command("explain", request)["explanation"]
        assert explained["again"] == "same"
        assert [item["model"] for item in explained["candidates"]] == [route.first, route.second]
    first, second = (route.system.command("explain", request)["explanation"]["candidates"] for request in before)
    assert [(item["order"], item["outcomes"]) for item in first] == [(1, ["rate_limited"]), (2, ["succeeded"])]
    assert (second[0]["order"], second[0]["excluded"]["cause"]) == (None, "cooling")


def plan_of(route: Route, router: str) -> list[str]:
    return [item["model"] for item in route.system.http.get(f"/routers/{router}/preview").json()["candidates"]]


def test_a_router_against_its_own_configuration_moves_nothing(route: Route) -> None:
    route.fails(error(500))
    answers = [route.ask(stream=bool(number % 2)) for number in range(6)]
    for got in answers:
        route.record(got)
    found = route.system.command("simulate", "--router", slug(answers[0]), "--last", "1h")
    assert (found["requests"], found["moved"], found["moves"]) == (6, 0, [])
    assert found["before"]["cost_usd"] == found["after"]["cost_usd"]
