"""What comes after a failed attempt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalog import Capability
from shared.contracts.config import Fallback
from shared.contracts.frames import Fail, FailureKind, Partial
from shared.contracts.plan import Candidate
from shared.routing.following import (
    GiveUp,
    NextCandidate,
    Retry,
    Step,
    after_cut,
    backoff_ms,
    first_token_ms,
    may_go_twice,
    next_step,
    pace_ms,
    smallest_retry_after_ms,
)

NEVER_AGAIN_HERE = set(FailureKind) - {
    FailureKind.CONNECT,
    FailureKind.CUT,
    FailureKind.SERVER_ERROR,
    FailureKind.OVERLOADED,
}


def fail(kind: FailureKind, retry_after_ms: int | None = None) -> Fail:
    return Fail(kind=kind, message="no", retry_after_ms=retry_after_ms)


def after(failure: Fail, **fields: Any) -> Step:
    situation: dict[str, Any] = {
        "fallback": Fallback(),
        "candidate_attempts": 1,
        "total_attempts": 1,
        "shown": False,
        "time_left_ms": 60_000.0,
        "jitter": 0.5,
    }
    return next_step(failure, **(situation | fields))


@pytest.mark.parametrize("kind", FailureKind)
def test_once_content_was_shown_nothing_is_tried_again(kind: FailureKind):
    assert after(fail(kind), shown=True) == GiveUp("content was shown")


@pytest.mark.parametrize("kind", [FailureKind.CONTENT_POLICY, FailureKind.INVALID_REQUEST, FailureKind.CANCELLED])
def test_the_clients_own_mistake_is_no_reason_to_go_on(kind: FailureKind):
    assert after(fail(kind)) == GiveUp(kind.value)


@pytest.mark.parametrize(
    "kind", [FailureKind.CONNECT, FailureKind.CUT, FailureKind.SERVER_ERROR, FailureKind.OVERLOADED]
)
def test_what_passes_gets_one_more_try_at_the_same_candidate(kind: FailureKind):
    assert after(fail(kind)) == Retry(300)
    assert isinstance(after(fail(kind), candidate_attempts=2, total_attempts=2), NextCandidate)


@pytest.mark.parametrize("kind", sorted(NEVER_AGAIN_HERE))
def test_what_does_not_pass_never_gets_another_try_at_the_same_candidate(kind: FailureKind):
    assert not isinstance(after(fail(kind)), Retry)


def test_a_silent_route_is_left_without_a_wait():
    assert after(fail(FailureKind.TIMEOUT)) == NextCandidate()


@pytest.mark.parametrize("kind", [FailureKind.AUTHENTICATION, FailureKind.QUOTA, FailureKind.UNAVAILABLE])
def test_a_provider_that_will_not_have_us_sends_the_request_on(kind: FailureKind):
    assert after(fail(kind)) == NextCandidate()


def test_too_long_a_context_asks_for_a_larger_window():
    assert after(fail(FailureKind.CONTEXT_LENGTH)) == NextCandidate(larger_context=True)


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.SERVER_ERROR])
def test_a_short_retry_after_is_waited_for(kind: FailureKind):
    assert after(fail(kind, 2_000), candidate_attempts=2, total_attempts=2) == Retry(2_050)


def test_a_long_retry_after_sends_the_request_on_and_keeps_others_away():
    assert after(fail(FailureKind.RATE_LIMITED, 2_001)) == NextCandidate(cool_ms=2_001, pause_ms=300)


def test_a_rate_limit_without_a_time_sends_the_request_on():
    assert after(fail(FailureKind.RATE_LIMITED)) == NextCandidate(pause_ms=300)


def test_one_candidate_gets_three_attempts_at_most():
    assert after(fail(FailureKind.RATE_LIMITED, 100), candidate_attempts=3, total_attempts=3) == NextCandidate(
        cool_ms=100, pause_ms=1_200
    )


def test_a_request_gets_six_attempts_at_most():
    assert after(fail(FailureKind.SERVER_ERROR), total_attempts=6) == GiveUp("max_attempts")
    assert after(fail(FailureKind.SERVER_ERROR), fallback=Fallback(max_attempts=1)) == GiveUp("max_attempts")


def test_no_wait_is_longer_than_the_time_that_is_left():
    assert isinstance(after(fail(FailureKind.RATE_LIMITED, 1_500), time_left_ms=1_400), NextCandidate)
    assert after(fail(FailureKind.SERVER_ERROR), time_left_ms=0) == GiveUp("total_ms")


@pytest.mark.parametrize("left_ms", [0, 1, 9])
def test_an_attempt_that_ended_with_the_request_is_the_last(left_ms: float):
    assert after(fail(FailureKind.TIMEOUT), time_left_ms=left_ms) == GiveUp("total_ms")
    assert after(fail(FailureKind.TIMEOUT), time_left_ms=10) == NextCandidate()


def test_waits_double_up_to_five_seconds_and_spread_by_a_fifth():
    assert [backoff_ms(attempts, 0.5) for attempts in range(1, 8)] == [300, 600, 1_200, 2_400, 4_800, 5_000, 5_000]
    assert (backoff_ms(1, 0.0), backoff_ms(1, 0.999)) == (240, 359)


def test_one_provider_sees_at_most_four_attempts_in_three_seconds_even_with_the_smallest_jitter():
    assert sum(backoff_ms(attempts, 0.0) for attempts in range(1, 5)) > 3_000


@given(st.lists(st.floats(0, 2, allow_nan=False), min_size=5, max_size=12))
def test_however_soon_attempts_fail_four_of_them_are_the_most_in_three_seconds(durations: list[float]):
    now, sent = 100.0, []
    for duration in durations:
        now += pace_ms(sent, now) / 1_000
        sent.append(now)
        now += duration
    assert all(sum(1 for moment in sent if first <= moment < first + 3.0) <= 4 for first in sent)


def test_who_was_sent_less_than_four_times_or_long_ago_does_not_wait():
    assert pace_ms([], 9.0) == pace_ms([9.0, 9.0, 9.0], 9.0) == 0
    assert pace_ms([1.0, 1.0, 2.0, 3.0], 5.0) == 0
    assert pace_ms([1.0, 2.0, 2.0, 2.0, 2.0], 2.0) == 3_100


def test_only_with_room_for_a_second_time_is_a_request_sent_where_it_may_need_one():
    at_a_new_place = {"same": False, "now_s": 1.0}
    assert may_go_twice(None, [], Fallback(), **at_a_new_place)
    assert may_go_twice(fail(FailureKind.TIMEOUT), [0.0, 0.1], Fallback(), **at_a_new_place)
    assert not may_go_twice(fail(FailureKind.CONNECT), [0.0, 0.1, 0.2], Fallback(), **at_a_new_place)
    assert not may_go_twice(fail(FailureKind.CONNECT), [-9.0] * 5, Fallback(), **at_a_new_place)
    assert may_go_twice(fail(FailureKind.CONNECT), [-9.0] * 4, Fallback(), **at_a_new_place)


def test_where_a_connection_broke_another_kept_one_is_not_tried():
    again = {"same": True, "now_s": 1.0}
    assert not may_go_twice(fail(FailureKind.CONNECT), [0.0], Fallback(), **again)
    assert may_go_twice(fail(FailureKind.OVERLOADED), [0.0], Fallback(), **again)


def test_the_soonest_vendor_says_when_to_come_back():
    failures = [fail(FailureKind.RATE_LIMITED, 9_000), fail(FailureKind.TIMEOUT), fail(FailureKind.OVERLOADED, 4_000)]
    assert smallest_retry_after_ms(failures) == 4_000
    assert smallest_retry_after_ms([fail(FailureKind.TIMEOUT)]) is None


def cut(**fields: Any) -> Fail:
    return Fail(kind=fields.pop("kind", FailureKind.CUT), message="no", **fields)


def after_a_cut(failure: Fail, partial: Partial | None, **fields: Any) -> Step:
    situation: dict[str, Any] = {"fallback": Fallback(), "total_attempts": 1, "time_left_ms": 60_000.0}
    return after_cut(failure, partial, **(situation | fields))


def test_what_was_shown_is_gone_on_with_elsewhere_and_never_at_the_same_place():
    assert after_a_cut(cut(), Partial(text="One")) == NextCandidate()
    assert after_a_cut(cut(kind=FailureKind.OVERLOADED, retry_after_ms=9_000), Partial(text="One")) == NextCandidate(
        cool_ms=9_000
    )


@pytest.mark.parametrize(
    ("failure", "partial", "fields"),
    [
        (cut(), None, {}),
        (cut(), Partial(text="One", tool_calls=True), {}),
        (cut(kind=FailureKind.CONTENT_POLICY), Partial(text="One"), {}),
        (cut(), Partial(text="One"), {"total_attempts": 6}),
        (cut(), Partial(text="One"), {"time_left_ms": 0}),
    ],
)
def test_what_cannot_be_gone_on_with_ends(failure: Fail, partial: Partial | None, fields: dict[str, Any]):
    assert isinstance(after_a_cut(failure, partial, **fields), GiveUp)


def test_who_has_another_credential_is_asked_at_once_and_not_left_alone():
    refused = Fail(kind=FailureKind.RATE_LIMITED, message="no", retry_after_ms=60_000, rotated=True)
    assert after(refused) == Retry(0)
    assert after(refused, candidate_attempts=2, total_attempts=2) == Retry(0)
    assert after(refused, candidate_attempts=3, total_attempts=3) == NextCandidate(pause_ms=1_200)


def test_beyond_its_budget_a_provider_is_not_asked_again():
    assert after(fail(FailureKind.SERVER_ERROR), within_budget=False) == NextCandidate(pause_ms=300)


def test_a_router_says_how_long_is_short_and_how_long_to_wait():
    patient = Fallback(short_retry_after_ms=10_000, backoff_ms=50)
    assert after(fail(FailureKind.RATE_LIMITED, 9_000), fallback=patient) == Retry(9_050)
    assert after(fail(FailureKind.SERVER_ERROR), fallback=patient) == Retry(50)


@pytest.mark.parametrize(
    ("candidate", "last", "limit"),
    [
        ({}, False, 10_000),
        ({"ttft_s": 1}, False, 10_000),
        ({"ttft_s": 4}, False, 24_000),
        ({"ttft_s": 60}, False, 120_000),
        ({"local": True}, False, 120_000),
        ({"capabilities": (Capability.CHAT, Capability.REASONING)}, False, 120_000),
        ({}, True, 120_000),
    ],
)
def test_a_first_token_is_waited_for_as_long_as_the_model_is_known_to_need(
    candidate: dict[str, Any], last: bool, limit: int
):
    fields = {"provider_id": "p", "provider": "p", "model": "p/m", "native_id": "m", "capabilities": (Capability.CHAT,)}
    assert first_token_ms(Candidate(**(fields | candidate)), Fallback(), last=last) == limit


def test_a_local_model_that_answered_lately_is_loaded_and_gets_no_longer_than_others():
    fields = {"provider_id": "p", "provider": "p", "model": "p/m", "native_id": "m", "capabilities": (Capability.CHAT,)}
    candidate = Candidate(**fields, local=True)
    assert first_token_ms(candidate, Fallback(), last=False, answered_s_ago=60.0) == 10_000
    assert first_token_ms(candidate, Fallback(), last=False, answered_s_ago=600.0) == 120_000
    assert first_token_ms(candidate, Fallback(), last=True, answered_s_ago=60.0) == 120_000
