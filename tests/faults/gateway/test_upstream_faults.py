"""Every way in which a vendor fails, seen by the client, by the vendor and by the ledger."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.raw_http import CHAT, Raw, ask, post
from tests.support.routes import (
    LIMITS,
    TEN,
    WORDS,
    Route,
    error,
    events,
    outcomes,
    over,
    text,
    two_providers,
    without_resent,
)
from tests.support.system import System, Wall, until


@pytest.fixture
def route(system: System, vendor: Wall) -> Iterator[Route]:
    """Two providers nobody has failed yet."""
    with two_providers(system, vendor) as made:
        yield made


PASSED_ON: list[tuple[str, dict[str, Any], list[str], str]] = [
    ("429 with a long Retry-After", error(429) | {"headers": {"retry-after": "60"}}, ["small"], "rate_limited"),
    ("429 without a word", error(429), ["small"], "rate_limited"),
    ("503 for ever", error(503), ["small", "small"], "overloaded"),
    ("500 for ever", error(500), ["small", "small"], "server_error"),
    ("401", error(401), ["small"], "authentication"),
    ("402", error(402), ["small"], "quota"),
    ("404", error(404, code="model_not_found"), ["small"], "model_not_found"),
    ("a redirect", {"status": 302, "headers": {"location": "/v1/models"}, "body": ""}, ["small", "small"], ""),
    ("reset before headers", {"fault": "reset", "where": "before_headers"}, ["small", "small"], "connect"),
    ("closed before headers", {"fault": "close", "where": "before_headers"}, ["small", "small"], "connect"),
    (
        "an error in 200",
        {"body": '{"error":{"message":"failed"}}', "content_type": "application/json"},
        ["small"] * 2,
        "",
    ),
    ("an empty 200", {"body": ""}, ["small"], "malformed"),
    ("200 and HTML", {"body": "<html>busy</html>", "content_type": "text/html"}, ["small"], "malformed"),
    ("context too long", error(400, code="context_length_exceeded"), ["small"], "context_length"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("how", "tried", "outcome"), [p[1:] for p in PASSED_ON], ids=[p[0] for p in PASSED_ON])
def test_another_candidate_answers_and_the_client_sees_nothing_of_it(
    route: Route, how: dict[str, Any], tried: list[str], outcome: str, stream: bool
) -> None:
    route.fails(how, repeat=True)
    route.fails(TEN, model="large")
    got = route.ask(stream=stream)
    assert got.status == 200, got.body
    assert text(got, stream=stream) == " ".join(WORDS)
    assert without_resent(route.tried(), how) == [*tried, "large"]
    assert got.header("x-localrouter-attempts") == str(len(tried) + 1)
    record = route.record(got)
    assert (record["status"], record["model"]) == ("succeeded", route.second)
    assert [model for model, _ in outcomes(record)] == [route.first] * len(tried) + [route.second]
    assert not outcome or outcomes(record)[0][1] == outcome


STREAMED: list[tuple[str, dict[str, Any], str]] = [
    ("silence", {"fault": "stall", "where": "before_headers"}, "timeout"),
    ("a slow first token", {"first_token_ms": 3000}, "timeout"),
    ("a role and then silence", {**TEN, "fault": "stall", "where": "before_content"}, "timeout"),
    ("pings only", {"pings": 3, "fault": "end", "where": "before_events"}, "malformed"),
    ("pings for ever", {"pings": 10_000, "event_ms": 50}, "timeout"),
    ("an error event first", {**TEN, "fault": "error", "where": "before_content", "error": {"message": "no"}}, ""),
    ("a malformed event first", {**TEN, "fault": "malformed", "where": "before_content"}, "malformed"),
]


@pytest.mark.parametrize(("how", "outcome"), [p[1:] for p in STREAMED], ids=[p[0] for p in STREAMED])
def test_a_stream_that_does_not_begin_is_begun_elsewhere_and_the_silent_one_is_left(
    route: Route, how: dict[str, Any], outcome: str
) -> None:
    route.fails(how, repeat=True)
    route.fails(TEN, model="large")
    got = route.ask(stream=True)
    assert (got.status, text(got, stream=True)) == (200, " ".join(WORDS))
    assert events(got)[-1] == "[DONE]"
    assert [event["choices"][0]["delta"].get("role") for event in events(got)[:-1]].count("assistant") <= 1
    assert route.tried() in (["small", "large"], ["small", "small", "large"])
    assert outcome != "timeout" or route.tried() == ["small", "large"]
    assert not outcome or outcomes(route.record(got))[0] == (route.first, outcome)
    until(lambda: over(route.vendor.attempts()[0]), "the silent connection is closed")


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("cut by a close", {**TEN, "fault": "close", "after": 3}, "cut"),
    ("cut by a reset", {**TEN, "fault": "reset", "after": 3}, "cut"),
    ("cut in an event", {**TEN, "fault": "half", "after": 3}, ""),
    ("ended without an end", {**TEN, "fault": "end", "after": 3}, "cut"),
    ("stalled", {**TEN, "fault": "stall", "after": 3}, "timeout"),
    ("a malformed event", {**TEN, "fault": "malformed", "after": 3}, "malformed"),
    ("an error event", {**TEN, "fault": "error", "after": 3, "error": {"message": "no more"}}, ""),
]


@pytest.mark.parametrize(("how", "outcome"), [p[1:] for p in BROKEN], ids=[p[0] for p in BROKEN])
def test_a_stream_that_breaks_ends_in_one_clean_error_and_is_never_begun_again(
    route: Route, how: dict[str, Any], outcome: str
) -> None:
    route.fails(how, repeat=True)
    got = route.ask(stream=True)
    assert got.status == 200
    *shown, last = events(got)
    assert all("error" not in event for event in shown)
    assert set(last) == {"error"}
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in shown).split() == WORDS[:3]
    assert route.tried() == ["small"]
    record = route.record(got)
    assert (record["status"], record["model"]) == ("failed", route.first)
    assert record["tokens"]["output"] > 0
    assert not outcome or outcomes(record) == [(route.first, outcome)]
    until(lambda: over(route.vendor.attempts()[0]), "the broken connection is closed")


@pytest.mark.parametrize("by", ["close", "reset"])
def test_a_whole_answer_that_is_cut_is_asked_for_again(route: Route, by: str) -> None:
    route.fails({**TEN, "fault": by}, TEN)
    got = route.ask(stream=False)
    assert text(got, stream=False) == " ".join(WORDS)
    assert [outcome for _, outcome in outcomes(route.record(got))] == ["cut", "succeeded"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_500_once_is_asked_for_again_at_the_same_place(route: Route, stream: bool) -> None:
    route.fails(error(500), TEN)
    got = route.ask(stream=stream)
    assert text(got, stream=stream) == " ".join(WORDS)
    assert route.tried() == ["small", "small"]
    assert outcomes(route.record(got)) == [(route.first, "server_error"), (route.first, "succeeded")]


def test_a_stream_without_done_that_was_whole_is_whole(route: Route) -> None:
    route.fails({**TEN, "fault": "end", "where": "before_end"})
    got = route.ask(stream=True)
    assert (text(got, stream=True), events(got)[-1]) == (" ".join(WORDS), "[DONE]")
    assert route.record(got)["status"] == "succeeded"


def test_a_provider_that_wants_to_be_left_alone_is_for_every_request(route: Route) -> None:
    route.fails(error(429) | {"headers": {"retry-after": "60"}}, repeat=True)
    for _ in range(3):
        assert route.ask(stream=False).status == 200
    assert route.tried() == ["small", "large", "large", "large"]


@pytest.mark.parametrize("stream", [False, pytest.param(True, marks=pytest.mark.faults)], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        (error(429) | {"headers": {"retry-after": "7"}}, 429),
        (error(500), 500),
        (error(503), 503),
        ({"fault": "reset", "where": "before_headers"}, 502),
        ({"body": ""}, 502),
        (error(401), 502),
        (error(402), 502),
    ],
    ids=["429", "500", "503", "reset", "empty", "401", "402"],
)
def test_when_everybody_fails_the_client_gets_one_error_and_nobody_is_hammered(
    route: Route, how: dict[str, Any], status: int, stream: bool
) -> None:
    for model in ("small", "large"):
        route.fails(how, model=model, repeat=True)
    got = route.ask(stream=stream)
    assert got.status == status
    assert got.header("content-type") == "application/json"
    assert got.code == "all_attempts_failed"
    assert (got.header("retry-after") == "7") == (status == 429)
    record = route.record(got)
    tried = without_resent(route.tried(), how)
    assert [model.rpartition("/")[2] for model, _ in outcomes(record)] == tried
    assert len(tried) in (2, 4)
    assert (record["status"], record["http_status"]) == ("failed", status)


def test_when_everybody_is_silent_the_client_gets_504_in_time(route: Route) -> None:
    for model in ("small", "large"):
        route.fails({"fault": "stall", "where": "before_headers"}, model=model, repeat=True)
    got = route.ask(stream=True)
    assert (got.status, got.code) == (504, "upstream_timeout")
    assert route.tried() == ["small", "large"]


def test_a_client_s_own_limit_ends_a_whole_answer_that_does_not_come(route: Route) -> None:
    for model in ("small", "large"):
        route.fails({"fault": "stall", "where": "before_headers"}, model=model, repeat=True)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    got = ask(route.system.url, post(CHAT, body, route.auth, "x-localrouter-timeout-ms: 400"))
    assert (got.status, got.code) == (504, "upstream_timeout")
    assert route.tried() == ["small"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_the_vendor_will_not_answer_is_its_own_error_once(route: Route, stream: bool) -> None:
    words = "Your request was rejected as a result of our safety system"
    route.fails(error(400, code="content_policy_violation", message=words), repeat=True)
    got = route.ask(stream=stream)
    assert (got.status, got.code) == (400, "content_policy_violation")
    assert got.json()["error"]["message"] == words
    assert route.tried() == ["small"]
    assert outcomes(route.record(got)) == [(route.first, "content_policy")]


def test_a_prompt_too_long_for_everybody_is_the_vendor_s_own_400(route: Route) -> None:
    for model in ("small", "large"):
        route.fails(error(400, code="context_length_exceeded", message=f"too long for {model}"), model=model)
    got = route.ask(stream=False)
    assert (got.status, got.code) == (400, "context_length_exceeded")
    assert route.tried() == ["small", "large"]


def test_a_vendor_s_endless_line_is_capped(route: Route) -> None:
    route.fails({"body": "data: " + "x" * 3_000_000, "content_type": "text/event-stream"}, repeat=True)
    got = route.ask(stream=True)
    assert (got.status, events(got)[-1]) == (200, "[DONE]")
    assert route.tried() == ["small", "large"]


def test_a_stream_is_the_same_connection_to_the_client_all_along(route: Route) -> None:
    route.fails({**TEN, "fault": "close", "after": 3})
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with Raw(route.system.url) as raw:
        raw.send(post(CHAT, body, route.auth))
        assert events(raw.answer())[-1]["error"]
        assert raw.send(post(CHAT, body, route.auth)).answer().status == 200


def test_a_local_model_that_answered_lately_is_not_waited_for_as_if_it_had_to_load(
    system: System, vendor: Wall
) -> None:
    with two_providers(system, vendor, fallback={**LIMITS, "first_token_slow_ms": 8_000}) as route:
        assert route.ask(stream=True).status == 200
        route.fails({"fault": "stall", "where": "before_headers"}, repeat=True)
        assert route.ask(stream=True).header("x-localrouter-model") == route.second
        _, silent, answered = (attempt["started_at"] for attempt in route.vendor.attempts())
        assert answered - silent < 4, "the limit of those that are loaded"
