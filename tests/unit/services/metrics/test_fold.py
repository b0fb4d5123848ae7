"""What the fold takes from usage messages."""

import msgspec
import pytest

from services.metrics.projections.ledger import MAX_TOKENS, fold, read_entry
from shared.contracts.usage import Tokens, encode_record
from shared.kernel.errors import ContractBroken
from shared.log.port import Recorded
from shared.testing.usage import attempt, usage_message, usage_payload, usage_record


def message(sequence: int, raw: bytes) -> Recorded:
    return Recorded("LR_USAGE", "lr.usage.gateway-1", sequence, raw)


def test_a_record_that_comes_twice_is_taken_once():
    batch = fold([usage_message(1, usage_record(1)), usage_message(2, usage_record(1), usage_record(2))])
    assert [entry.request.id for entry in batch.entries.values()] == [usage_record(1).id, usage_record(2).id]
    assert batch.broken == {}
    assert batch.sequence == 2


def test_the_day_is_taken_from_the_record_and_is_that_of_utc():
    entry = read_entry(encode_record(usage_record(time="2026-03-02T00:30:00.000+01:00")))
    assert entry.request.day == "2026-03-01"
    assert entry.request.time_ms == 1_772_407_800_000


def test_every_attempt_keeps_its_own_tokens_and_counts_once_per_provider_and_model():
    record = usage_record(1, attempt("a/x", "timeout"), attempt("a/y", "cut"), attempt("a/x"), attempt("b/x"))
    rows = read_entry(encode_record(record)).attempts
    assert [(row.provider, row.model, row.outcome) for row in rows] == [
        ("a", "a/x", "timeout"),
        ("a", "a/y", "cut"),
        ("a", "a/x", "succeeded"),
        ("b", "b/x", "succeeded"),
    ]
    assert [row.first_of_provider for row in rows] == [1, 0, 0, 1]
    assert [row.first_of_model for row in rows] == [1, 1, 0, 1]
    assert [row.input_tokens for row in rows] == [10, 10, 10, 10]


def test_a_request_without_an_attempt_tells_that_there_was_none():
    refused = usage_record(status="refused", attempts=(), provider=None, model=None, tokens=Tokens(), cost=0)
    entry = read_entry(encode_record(refused))
    assert (entry.request.outcome, entry.request.attempts, entry.attempts) == ("none", 0, ())


def test_an_only_attempt_needs_no_row_where_its_request_says_the_same():
    entry = read_entry(encode_record(usage_record(1, attempt("a/x"))))
    assert (entry.request.outcome, entry.attempts) == ("succeeded", ())


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "other"},
        {"model": "other/x"},
        {"tokens": Tokens(input=11, output=5, source="provider")},
        {"cost": None},
        {"shadow_cost": 1},
        {"http_status": 502},
        {"error_code": "overloaded"},
        {"duration_ms": 300.0},
    ],
)
def test_an_only_attempt_that_says_something_else_has_a_row(changes: dict[str, object]):
    told = attempt("a/x")
    unlike = msgspec.structs.replace(told, **changes)
    entry = read_entry(encode_record(msgspec.structs.replace(usage_record(1, told), attempts=(unlike,))))
    assert entry.request.outcome is None
    (row,) = entry.attempts
    for name in changes.keys() - {"tokens"}:
        assert getattr(row, name) == changes[name]
    assert row.input_tokens == unlike.tokens.input


def test_what_is_known_of_a_partly_unpriced_request_is_kept():
    record = usage_record(1, attempt("a/x", "cut", cost=7), attempt("b/x", cost=None))
    row = read_entry(encode_record(record)).request
    assert (row.cost, row.known_cost) == (None, 7)


def test_fields_of_a_newer_gateway_are_kept_with_the_record():
    raw = encode_record(usage_record())[:-1] + b',"tomorrow":1}'
    assert read_entry(raw).raw == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"\xff\xfe",
        b"{}",
        b'{"gateway":"g","position":"0:0","records":[],"version":99}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_message_that_does_not_read_is_broken_and_the_others_are_taken(raw: bytes):
    batch = fold([usage_message(1, usage_record(1)), message(2, raw), usage_message(3, usage_record(2))])
    assert list(batch.broken) == [2]
    assert len(batch.entries) == 2
    assert batch.sequence == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"time": "yesterday"},
        {"time": "2026-03-01T12:00:00"},
        {"time": "1969-12-31T23:59:59Z"},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"tokens": Tokens(input=-1)},
        {"tokens": Tokens(output=MAX_TOKENS + 1)},
        {"cost": -1},
        {"cost": 10**30},
        {"duration_ms": -0.5},
        {"ttft_ms": 1e300},
        {"http_status": 10**30},
        {"attempts": (attempt(cost=10**20),)},
        {"attempts": (attempt(duration_ms=-4.0),), "duration_ms": 1.0, "overhead_ms": 5.0},
    ],
)
def test_one_impossible_record_breaks_its_message_but_takes_no_other_record_with_it(changes: dict[str, object]):
    impossible = msgspec.structs.replace(usage_record(2), **changes)
    batch = fold([message(1, usage_payload([usage_record(1), impossible, usage_record(3)]))])
    assert list(batch.broken) == [1]
    assert "record 1" in batch.broken[1]
    assert [entry.request.id for entry in batch.entries.values()] == [usage_record(1).id, usage_record(3).id]


def test_a_second_record_of_one_request_that_says_something_else_is_set_aside():
    other = msgspec.structs.replace(usage_record(1), status="failed")
    batch = fold([usage_message(1, usage_record(1)), usage_message(2, other)])
    assert list(batch.broken) == [2]
    assert "has another record already" in batch.broken[2]
    assert [entry.request.status for entry in batch.entries.values()] == ["succeeded"]


def test_a_record_that_is_only_nested_too_deep_is_refused_as_a_value():
    raw = encode_record(usage_record())[:-1] + b',"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ContractBroken):
        read_entry(raw)
