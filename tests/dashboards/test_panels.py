"""Every panel's question, put to a real Prometheus and a real PostgreSQL, is answered with what happened."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from services.metrics.domain.counters import OVERHEAD_SECONDS, SECONDS
from tests.dashboards.conftest import PAID, WINDOW_S, Run, panels

Check = Callable[[Run, str], None]
CLASSES = ("input", "cached", "cache_write", "output")


def tokens(record: dict[str, Any]) -> int:
    return sum(record["tokens"][name] for name in CLASSES)


def attempts(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [attempt for record in records for attempt in record["attempts"]]


def is_(wanted: Callable[[Run], float]) -> Check:
    """A panel of one number."""

    def check(run: Run, panel: str) -> None:
        assert run.value(panel) == pytest.approx(wanted(run))

    return check


def sums(wanted: Callable[[Run], dict[str, float]]) -> Check:
    """A panel of the ledger over time: added up, it is all that happened."""

    def check(run: Run, panel: str) -> None:
        found: Counter[str] = Counter()
        for _, metric, value in run.rows(panel):
            found[metric] += value
        assert dict(found) == pytest.approx({name: value for name, value in wanted(run).items() if value})

    return check


def table(wanted: Callable[[Run], set[tuple[Any, ...]]], columns: int) -> Check:
    """A table of the ledger; only its first ``columns`` are compared."""

    def check(run: Run, panel: str) -> None:
        rows = [tuple(round(cell, 9) if isinstance(cell, float) else cell for cell in row) for row in run.rows(panel)]
        assert {row[:columns] for row in rows} == wanted(run)
        assert len(rows) == len(wanted(run))

    return check


def rates(wanted: Callable[[Run], dict[tuple[str, ...], int]]) -> Check:
    """Rates by label. Prometheus extrapolates from the span that it saw to the whole window, all of them alike."""

    def check(run: Run, panel: str) -> None:
        expected = wanted(run)
        found = {labels: rate * WINDOW_S for labels, rate in run.series(panel).items() if rate}
        stretched = sum(found.values()) / sum(expected.values())
        assert 1 <= stretched < 2
        assert {labels: value / stretched for labels, value in found.items()} == pytest.approx(expected, rel=0.1)

    return check


def shares(wanted: Callable[[Run], dict[tuple[str, ...], float]]) -> Check:
    """Quotients of rates, in which the extrapolation is no more."""

    def check(run: Run, panel: str) -> None:
        assert run.series(panel) == pytest.approx(wanted(run), rel=0.05)

    return check


def quantiles(
    values: Callable[[Run], dict[tuple[str, ...], list[float]]],
    bounds: tuple[float, ...] = SECONDS,
    wanted: tuple[float, ...] = (0.5, 0.95, 0.99),
) -> Check:
    """Quantiles of seconds, as exact as buckets are."""

    def check(run: Run, panel: str) -> None:
        for target, share in enumerate(wanted):
            expected = {labels: in_buckets(seconds, share, bounds) for labels, seconds in values(run).items()}
            assert run.series(panel, target) == pytest.approx(expected, rel=0.1)

    return check


def in_buckets(values: list[float], share: float, bounds: tuple[float, ...]) -> float:
    """Return a quantile as https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile does."""
    counts = Counter(bisect_left(bounds, value) for value in values)
    wanted, seen = share * len(values), 0
    for number, (lower, upper) in enumerate(pairwise((0.0, *bounds))):
        if counts[number] and seen + counts[number] >= wanted:
            return lower + (upper - lower) * (wanted - seen) / counts[number]
        seen += counts[number]
    return bounds[-1]


def by(records: Iterable[dict[str, Any]], name: str) -> dict[tuple[str, ...], int]:
    """Return how many there are by a field; none is the empty label, which Prometheus shows as no label at all."""
    return dict(Counter(() if record[name] is None else (record[name],) for record in records))


def success(records: list[dict[str, Any]]) -> float:
    ended = Counter(record["status"] for record in records)
    return ended["succeeded"] / (ended["succeeded"] + ended["failed"])


def failures(records: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    tried, failed = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for attempt in attempts(records):
        tried[attempt["provider"],] += 1
        failed[attempt["provider"],] += attempt["outcome"] != "succeeded"
    return {provider: failed[provider] / tried[provider] for provider in tried}


def seconds(
    records: Iterable[dict[str, Any]], field: str, label: str | None = None
) -> dict[tuple[str, ...], list[float]]:
    found: dict[tuple[str, ...], list[float]] = {}
    for record in records:
        if record[field] is not None and (field == "overhead_ms" or record["provider"] is not None):
            found.setdefault((record[label],) if label else (), []).append(record[field] / 1000)
    return found


def top(name: str) -> Check:
    def wanted(run: Run) -> set[tuple[Any, ...]]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for record in run.records:
            groups.setdefault(record[name] or "", []).append(record)
        return {
            (value, len(found), sum(map(tokens, found)), round(run.usd(found), 9)) for value, found in groups.items()
        }

    return table(wanted, 4)


def tried(run: Run) -> set[tuple[Any, ...]]:
    counted = Counter((attempt["provider"], attempt["outcome"]) for attempt in attempts(run.records))
    return {(*key, count) for key, count in counted.items()}


def all_of(wanted: dict[tuple[str, ...], float]) -> Check:
    """Gauges by label, exactly."""

    def check(run: Run, panel: str) -> None:
        assert run.series(panel) == wanted

    return check


def nothing(run: Run, panel: str) -> None:
    """A gauge of every gateway that is 0, because nothing waits when nothing happens."""
    assert list(run.series(panel).values()) == [0]


def between_0_and_1(run: Run, panel: str) -> None:
    [value] = run.series(panel).values()
    assert 0 < value < 1


def ledger_position(run: Run, panel: str) -> None:
    [(consumer, stream, sequence, identity)] = run.rows(panel)
    assert (consumer, stream) == ("ledger", "LR_USAGE")
    assert 0 < sequence <= len(run.records)
    assert identity


def plans(run: Run, panel: str) -> None:
    [value] = run.series(panel).values()
    assert math.isnan(value) or 0 < value < 1


CHECKS: dict[str, Check] = {
    "overview: Requests": is_(lambda run: len(run.records)),
    "overview: Success": is_(lambda run: success(run.records)),
    "overview: Tokens": is_(lambda run: sum(map(tokens, run.records))),
    "overview: Cost": is_(lambda run: run.usd(run.records)),
    "overview: Unpriced requests": is_(lambda run: sum(record["cost_usd"] is None for record in run.records)),
    "overview: Attempts per request": is_(lambda run: len(attempts(run.records)) / len(run.records)),
    "overview: Requests by how they ended": sums(lambda run: dict(Counter(record["status"] for record in run.records))),
    "overview: Tokens by class": sums(
        lambda run: {name: sum(record["tokens"][name] for record in run.records) for name in CLASSES}
    ),
    "overview: Cost by model": sums(lambda run: {PAID: run.usd(run.records)}),
    "overview: Requests per second by router": rates(lambda run: by(run.later, "router")),
    "overview: Duration": quantiles(lambda run: seconds(run.later, "duration_ms")),
    "overview: Time to first token": quantiles(lambda run: seconds(run.later, "ttft_ms")),
    "overview: What LocalRouter itself takes": quantiles(
        lambda run: seconds(run.later, "overhead_ms"), OVERHEAD_SECONDS
    ),
    "overview: Success over time": shares(lambda run: {(): success(run.later)}),
    "overview: By key": top("key_name"),
    "overview: By model": top("model"),
    "overview: By router": top("router"),
    "providers: Health": all_of({("ollama",): 0, ("paid",): 1, ("spare",): 1}),
    "providers: Circuit breaker": all_of({("ollama",): 0, ("paid",): 0, ("spare",): 0}),
    "providers: Attempts per second": rates(
        lambda run: dict(Counter((attempt["outcome"], attempt["provider"]) for attempt in attempts(run.later)))
    ),
    "providers: Failures": shares(lambda run: failures(run.later)),
    "providers: Attempts by outcome": table(tried, 3),
    "providers: Duration P95": quantiles(lambda run: seconds(run.later, "duration_ms", "provider"), wanted=(0.95,)),
    "providers: Time to first token P95": quantiles(
        lambda run: seconds(run.later, "ttft_ms", "provider"), wanted=(0.95,)
    ),
    "providers: Tokens": sums(
        lambda run: {
            provider: sum(tokens(record) for record in run.records if record["provider"] == provider)
            for provider in ("paid", "spare")
        }
    ),
    "providers: Cost": sums(lambda run: {"paid": run.usd(run.records)}),
    "log-health: Ledger behind the log": nothing,
    "log-health: Waiting in journals": nothing,
    "log-health: Log away": nothing,
    "log-health: Dead letters": nothing,
    "log-health: Requests of unknown price": nothing,
    "log-health: Free disk": between_0_and_1,
    "log-health: Services": all_of({(name,): 1 for name in ("gateway", "metrics", "providers", "router")}),
    "log-health: Requests being answered": nothing,
    "log-health: Ledger behind the log over time": nothing,
    "log-health: Journal not in the log yet": nothing,
    "log-health: Records not in the log yet": nothing,
    "log-health: Log away over time": nothing,
    "log-health: How far the ledger is": ledger_position,
    "log-health: Set aside": table(lambda _: set(), 2),
    "log-health: Refusals per second": rates(
        lambda run: {("model_not_found",): sum(record["status"] == "refused" for record in run.later)}
    ),
    "log-health: Plans": plans,
}


def test_every_panel_is_asked() -> None:
    names = [name for name, _ in panels()]
    assert len(names) == len(set(names)), "titles are what panels are known by"
    assert set(names) == set(CHECKS)


@pytest.mark.parametrize("panel", CHECKS)
def test_a_panel_shows_what_happened(run: Run, panel: str) -> None:
    CHECKS[panel](run, panel)


def test_every_panel_can_be_drawn_over_time(run: Run) -> None:
    for name, panel in panels():
        for target in panel["targets"]:
            if target.get("range"):
                expr = target["expr"].replace("$__rate_interval", f"{WINDOW_S}s")
                assert run.prometheus.over(expr, 10), name


def test_everything_is_scraped_and_no_alert_fires(run: Run) -> None:
    assert [target["health"] for target in run.prometheus.targets()] == ["up"]
    firing = run.prometheus.ask('ALERTS{alertstate="firing"}')
    assert {labels[0] for labels in firing} <= {"DiskFillsUp"}, "this machine's disk is its own affair"


PROMISED = (
    *("requests_total", "tokens_total", "cost_usd_total", "attempts_total", "dead_letters_total"),
    *("request_duration_seconds_bucket", "time_to_first_token_seconds_bucket", "gateway_overhead_seconds_bucket"),
    *("provider_up", "circuit_state", "projection_lag_events", "outbox_records", "unpriced_requests_total"),
)


@pytest.mark.parametrize("name", PROMISED)
def test_what_others_build_on_is_counted_under_its_name(run: Run, name: str) -> None:
    assert run.prometheus.ask(f"count(localrouter_{name})")[()] > 0
