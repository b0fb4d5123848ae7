"""What Prometheus is told."""

import msgspec
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.metrics.api.prometheus import Prometheus
from services.metrics.domain.batches import add_up
from services.metrics.domain.counters import Counters, Observed
from services.metrics.domain.rollups import Rolled
from services.metrics.projections.ledger import read_entry
from shared.contracts.usage import UsageRecord, encode_record
from shared.testing.usage import attempt, usage_record


def seen(*records: UsageRecord) -> tuple[Rolled, Observed]:
    added = add_up(read_entry(encode_record(record)) for record in records)
    return added.days, added.observed


ORDER = ("router", "provider", "model", "status", "class", "code", "le")


def samples(counters: Counters, lag: int | None = 0) -> dict[tuple[str, ...], float]:
    async def look() -> None:
        raise AssertionError("a registry is read without waiting")

    text = generate_latest(Prometheus(lambda: counters.counts, lambda: lag, look).registry).decode()
    return {
        (sample.name, *(sample.labels[label] for label in ORDER if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(*records: UsageRecord) -> Counters:
    counters = Counters()
    counters.add(counters.tally(*seen(*records)))
    return counters


def test_tokens_and_cost_belong_to_the_provider_that_took_them_and_the_request_to_the_one_that_answered():
    shown = samples(counted(usage_record(1, attempt("a/x", "cut", cost=2_000_000), attempt("b/y", cost=10**12))))
    assert shown["localrouter_requests_total", "minimum-cost", "b", "b/y", "succeeded"] == 1
    assert ("localrouter_requests_total", "minimum-cost", "a", "a/x", "succeeded") not in shown
    assert shown["localrouter_tokens_total", "minimum-cost", "a", "a/x", "input"] == 10
    assert shown["localrouter_tokens_total", "minimum-cost", "b", "b/y", "output"] == 5
    assert shown["localrouter_cost_usd_total", "minimum-cost", "a", "a/x"] == pytest.approx(0.000002)
    assert shown["localrouter_cost_usd_total", "minimum-cost", "b", "b/y"] == 1


def test_refusals_are_counted_by_their_code_and_the_first_that_nobody_could_take_is_seen_to_rise():
    shown = samples(counted())
    assert shown["localrouter_refusals_total", "no_candidate"] == 0
    refused = usage_record(1, status="refused", error_code="model_not_found")
    shown = samples(counted(refused, usage_record(2, error_code="invalid_request")))
    assert shown["localrouter_refusals_total", "model_not_found"] == 1
    assert ("localrouter_refusals_total", "invalid_request") not in shown


def test_histograms_are_cumulative_and_in_seconds():
    shown = samples(counted(usage_record(1, duration_ms=50.0), usage_record(2, duration_ms=300.0)))
    name = "localrouter_request_duration_seconds"
    assert shown[f"{name}_bucket", "openai", "openai/gpt", "0.05"] == 1
    assert shown[f"{name}_bucket", "openai", "openai/gpt", "0.25"] == 1
    assert shown[f"{name}_bucket", "openai", "openai/gpt", "0.5"] == 2
    assert shown[f"{name}_bucket", "openai", "openai/gpt", "+Inf"] == 2
    assert shown[f"{name}_count", "openai", "openai/gpt"] == 2
    assert shown[f"{name}_sum", "openai", "openai/gpt"] == pytest.approx(0.35)
    assert shown["localrouter_time_to_first_token_seconds_count", "openai", "openai/gpt"] == 2
    assert shown["localrouter_gateway_overhead_seconds_sum",] == pytest.approx(0.0014)


def test_an_unpriced_request_is_counted_as_one():
    assert samples(counted(usage_record(1, attempt(cost=None))))["localrouter_unpriced_requests_total",] == 1


def test_before_the_first_request_the_plain_counts_are_there_as_zero():
    shown = samples(Counters(), lag=3)
    assert shown["localrouter_unpriced_requests_total",] == 0
    assert shown["localrouter_dead_letters_total",] == 0
    assert shown["localrouter_projection_lag_events",] == 3


def test_a_lag_that_nobody_knows_is_not_shown_as_zero():
    assert ("localrouter_projection_lag_events",) not in samples(Counters(), lag=None)


def test_label_sets_are_bounded_and_the_rest_is_counted_together():
    counters = Counters(max_label_sets=2)
    records = [usage_record(number, attempt(f"p/{number}")) for number in range(1, 6)]
    for record in records:
        counters.add(counters.tally(*seen(record)))
    requests = {key: value for key, value in samples(counters).items() if key[0] == "localrouter_requests_total"}
    assert len(requests) == 3
    assert requests["localrouter_requests_total", "other", "other", "other", "succeeded"] == 3


def test_label_sets_stay_the_same_when_counting_goes_on_after_a_restart():
    records = [usage_record(number, attempt(f"p/{number}")) for number in range(1, 6)]
    at_once = Counters(max_label_sets=3)
    at_once.add(at_once.tally(*seen(*records)))
    restarted = Counters(max_label_sets=3)
    for record in records:
        restarted = Counters(restarted.counts, max_label_sets=3)
        restarted.add(restarted.tally(*seen(record)))
    assert restarted.counts == at_once.counts


def test_nothing_is_counted_until_it_is_added():
    counters = Counters()
    counters.tally(*seen(usage_record()))
    assert counters.counts == {}


def test_label_values_of_any_kind_are_escaped():
    hostile = msgspec.structs.replace(usage_record(), router='a"b\\c\nd')
    assert (
        samples(counted(hostile))["localrouter_requests_total", 'a"b\\c\nd', "openai", "openai/gpt", "succeeded"] == 1
    )
