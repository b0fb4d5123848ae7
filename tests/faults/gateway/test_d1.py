"""Sixteen ways in which a vendor fails, by what the router does about a cut, in one process and in several.

Whatever happens upstream, the caller gets the whole answer or one clean error, and the vendor is never hammered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.raw_http import Answer
from tests.support.routes import TEN, WORDS, Route, error, events, outcomes, over, text, two_providers, without_resent
from tests.support.system import System, Wall, separate, until

Note = Callable[[Answer], None]
ON_CUT = ("error", "continue", "buffer")
WHOLE = " ".join(WORDS)
SHOWN = 3
"""Words that the client has when a stream breaks."""
REST = {"text": " " + " ".join(WORDS[SHOWN:]), "events": 7}
"""What a model says that goes on from there."""
SAFETY = "Your request was rejected as a result of our safety system"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How the first provider fails, what was asked of whom in the end, and what came of the first attempt."""

    name: str
    how: tuple[dict[str, Any], ...]
    tried: tuple[str, ...]
    outcome: str
    for_ever: bool = True
    cuts: bool = False
    """Whether it breaks a stream that the client has seen a part of."""


FAULTS = [
    Fault(
        name="429 with a short Retry-After",
        how=(error(429) | {"headers": {"retry-after-ms": "100"}}, TEN),
        tried=("small", "small"),
        outcome="rate_limited",
        for_ever=False,
    ),
    Fault(
        name="429 for ever",
        how=(error(429) | {"headers": {"retry-after": "60"}},),
        tried=("small", "large"),
        outcome="rate_limited",
    ),
    Fault(name="500 once", how=(error(500), TEN), tried=("small", "small"), outcome="server_error", for_ever=False),
    Fault(name="503 for ever", how=(error(503),), tried=("small", "small", "large"), outcome="overloaded"),
    Fault(
        name="reset before headers",
        how=({"fault": "reset", "where": "before_headers"},),
        tried=("small", "small", "large"),
        outcome="connect",
    ),
    Fault(
        name="silence",
        how=({"fault": "stall", "where": "before_headers"},),
        tried=("small", "large"),
        outcome="timeout",
    ),
    Fault(name="slow first token", how=({"first_token_ms": 20_000},), tried=("small", "large"), outcome="timeout"),
    Fault(
        name="cut mid-answer",
        how=({**TEN, "fault": "close", "after": SHOWN},),
        tried=("small", "large"),
        outcome="cut",
        cuts=True,
    ),
    Fault(
        name="stall mid-answer",
        how=({**TEN, "fault": "stall", "after": SHOWN},),
        tried=("small", "large"),
        outcome="timeout",
        cuts=True,
    ),
    Fault(
        name="a malformed chunk",
        how=({**TEN, "fault": "malformed", "where": "before_content"},),
        tried=("small", "large"),
        outcome="malformed",
    ),
    Fault(
        name="a malformed chunk mid-answer",
        how=({**TEN, "fault": "malformed", "after": SHOWN},),
        tried=("small", "large"),
        outcome="malformed",
        cuts=True,
    ),
    Fault(
        name="no [DONE]", how=({**TEN, "fault": "end", "where": "before_end"},), tried=("small",), outcome="succeeded"
    ),
    Fault(
        name="context too long",
        how=(error(400, code="context_length_exceeded"),),
        tried=("small", "large"),
        outcome="context_length",
    ),
]
QUICK = {("cut mid-answer", "continue"), ("cut mid-answer", "buffer"), ("stall mid-answer", "continue")}
MATRIX = [
    pytest.param(
        fault, on_cut, id=f"{fault.name}-{on_cut}", marks=[] if (fault.name, on_cut) in QUICK else [pytest.mark.faults]
    )
    for fault in FAULTS
    for on_cut in ON_CUT
]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Four processes over NATS and HTTP."""
    with separate(tmp_path_factory.mktemp("apart")) as running:
        yield running


@pytest.fixture(params=["embedded", pytest.param("processes", marks=pytest.mark.faults)])
def either(request: pytest.FixtureRequest) -> System:
    """The system in one process, and in four."""
    return request.getfixturevalue("system" if request.param == "embedded" else "apart")


@pytest.fixture(scope="module")
def table() -> Iterator[list[tuple[str, ...]]]:
    """What everybody saw of each fault, printed at the end (to be read with ``-s``)."""
    rows: list[tuple[str, ...]] = [("fault", "the vendor was asked for", "after seconds", "the caller saw")]
    yield rows
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    print(*("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows), sep="\n")


@pytest.fixture
def on_cut() -> str:
    return "error"


@pytest.fixture
def route(either: System, vendor: Wall, on_cut: str) -> Iterator[Route]:
    """Two providers, the second of which goes on with what another began."""
    with two_providers(either, vendor, "llamacpp", on_cut=on_cut) as made:
        yield made


def is_one_clean_error(got: Answer, said: str) -> bool:
    """Whether a stream ends in one error of its dialect, after what was said, and without the end of a whole one."""
    *shown, last = events(got)
    return text(got, stream=True) == said and set(last) == {"error"} and all("error" not in event for event in shown)


@pytest.fixture
def note(request: pytest.FixtureRequest, route: Route, table: list[tuple[str, ...]]) -> Note:
    """Takes an answer down into the table."""
    case = request.node.callspec.id if "fault" in request.fixturenames else request.node.name.removeprefix("test_")

    def down(got: Answer) -> None:
        starts = [attempt["started_at"] for attempt in route.vendor.attempts()]
        after = " ".join(f"{start - starts[0]:.1f}" for start in starts)
        table.append((case, " ".join(route.tried()), after, caller_saw(got)))

    return down


def caller_saw(got: Answer) -> str:
    """Return in words what the caller got."""
    if got.status != 200:
        return f"{got.status} {got.code}"
    last = events(got)[-1]
    words = len(text(got, stream=True).split())
    return f"{words} words, {'[DONE]' if last == '[DONE]' else 'error ' + last['error']['code']}"


def never_hammered(route: Route) -> bool:
    attempts = route.vendor.attempts()
    starts = sorted(attempt["started_at"] for attempt in attempts)
    within_3_s = max(sum(1 for start in starts if first <= start < first + 3) for first in starts)
    return len(starts) <= 6 and within_3_s <= 4


@pytest.mark.parametrize(("fault", "on_cut"), MATRIX)
def test_the_caller_gets_the_whole_answer_or_one_clean_error(
    route: Route, fault: Fault, on_cut: str, note: Note
) -> None:
    route.fails(*fault.how, repeat=fault.for_ever)
    goes_on = fault.cuts and on_cut == "continue"
    route.fails(REST if goes_on else TEN, model="large")
    got = route.ask(stream=True)
    note(got)
    assert got.status == 200, got.body
    record = route.record(got)
    first = outcomes(record)[0]
    assert first == (route.first, fault.outcome)
    assert never_hammered(route)
    if fault.cuts and on_cut == "error":
        assert is_one_clean_error(got, " ".join(WORDS[:SHOWN]))
        assert (route.tried(), record["status"]) == (["small"], "failed")
    else:
        assert (text(got, stream=True), events(got)[-1]) == (WHOLE, "[DONE]")
        again = fault.outcome == "cut" and on_cut == "buffer"  # a connection that breaks is tried once more there
        assert without_resent(route.tried(), fault.how[0]) == ["small"] * again + list(fault.tried)
        assert record["status"] == "succeeded"
        assert [attempt["resumed"] for attempt in record["attempts"]][-1] == goes_on
    if goes_on:
        last = route.vendor.attempts()[-1]["body"]["messages"][-1]
        assert last == {"role": "assistant", "content": " ".join(WORDS[:SHOWN])}
        assert len({event["id"] for event in events(got) if event != "[DONE]"}) == 1
    until(lambda: all(over(attempt) for attempt in route.vendor.attempts()), "the vendor is rid of every attempt")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("how", "sent"),
    [
        (error(429) | {"headers": {"retry-after-ms": "50"}}, 6),
        (error(503), 4),
        ({"fault": "reset", "where": "before_headers"}, 6),
        ({"fault": "stall", "where": "before_headers"}, 2),
        ({**TEN, "fault": "close", "after": SHOWN}, 4),
    ],
    ids=["429", "503", "reset", "silence", "cut"],
)
@pytest.mark.parametrize("on_cut", ["buffer"])
def test_when_everybody_fails_the_vendor_is_not_hammered_either(
    route: Route, how: dict[str, Any], sent: int, note: Note
) -> None:
    assert text(route.ask(stream=True), stream=True), "a connection is kept, and may be used again"
    route.vendor.reset()
    for model in ("small", "large"):
        route.fails(how, model=model, repeat=True)
    got = route.ask(stream=True)
    note(got)
    assert route.record(got)["status"] == "failed"
    assert len(route.vendor.attempts()) in (sent - 1, sent)
    assert never_hammered(route)


@pytest.mark.parametrize("on_cut", [pytest.param(kind, marks=pytest.mark.faults) for kind in ON_CUT])
def test_content_policy_is_the_vendor_s_own_refusal_once(route: Route, on_cut: str, note: Note) -> None:
    route.fails(error(400, code="content_policy_violation", message=SAFETY), repeat=True)
    got = route.ask(stream=True)
    note(got)
    assert (got.status, got.code, got.json()["error"]["message"]) == (400, "content_policy_violation", SAFETY)
    assert route.tried() == ["small"]
    assert outcomes(route.record(got)) == [(route.first, "content_policy")]


@pytest.mark.parametrize(
    "on_cut", ["continue", *(pytest.param(kind, marks=pytest.mark.faults) for kind in ON_CUT[::2])]
)
def test_a_fallback_that_refuses_the_prefill_ends_it_in_one_clean_error(route: Route, on_cut: str, note: Note) -> None:
    route.fails({**TEN, "fault": "close", "after": SHOWN}, repeat=True)
    route.fails(
        error(400, message="the last message must be the user's") if on_cut == "continue" else TEN, model="large"
    )
    got = route.ask(stream=True)
    note(got)
    record = route.record(got)
    if on_cut == "buffer":
        assert (text(got, stream=True), events(got)[-1]) == (WHOLE, "[DONE]")
        return
    assert is_one_clean_error(got, " ".join(WORDS[:SHOWN]))
    tried = ["small", "large"] if on_cut == "continue" else ["small"]
    assert (route.tried(), record["status"]) == (tried, "failed")
    assert outcomes(record)[0] == (route.first, "cut")
    assert record["tokens"]["output"] > 0


@pytest.mark.faults
@pytest.mark.parametrize("on_cut", ON_CUT)
def test_who_flaps_is_left_alone_tried_again_and_used_again(route: Route, note: Note) -> None:
    route.fails(error(503), repeat=True)
    for _ in range(6):
        got = route.ask(stream=True)
        assert (got.status, events(got)[-1]) == (200, "[DONE]")
    note(got)
    tried = route.tried()
    assert tried.count("large") == 6
    assert tried.count("small") < 12, "its breaker opened"
    route.vendor.reset()
    until(lambda: route.ask(stream=True).header("x-localrouter-model") == route.first, "it is used again", 30.0)


@pytest.mark.parametrize("on_cut", [pytest.param(kind, marks=pytest.mark.faults) for kind in ON_CUT])
def test_what_fallback_cost_is_what_the_vendors_claimed(route: Route, on_cut: str, note: Note) -> None:
    route.fails({**TEN, "fault": "close", "after": SHOWN} if on_cut != "error" else error(503), repeat=True)
    route.fails(REST if on_cut == "continue" else TEN, model="large")
    got = route.ask(stream=True)
    note(got)
    assert text(got, stream=True) == WHOLE
    record = route.record(got)
    claimed = route.vendor.attempts()[-1]["claimed"]
    *failed, last = record["attempts"]
    assert (last["tokens"]["input"], last["tokens"]["output"]) == (
        claimed["prompt_tokens"],
        claimed["completion_tokens"],
    )
    assert record["tokens"]["output"] == sum(attempt["tokens"]["output"] for attempt in record["attempts"])
    if on_cut != "error":
        assert any(attempt["outcome"] == "cut" and attempt["tokens"]["output"] > 0 for attempt in failed)
