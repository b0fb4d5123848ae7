"""The providers: whether they answer, what their breakers do, how attempts at them end."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.parts import ASKED, IN_RANGE, amounts, board, filled, lines, quantile, rows, states, sum_by

_DURATION: Final = "localrouter_request_duration_seconds"
_TTFT: Final = "localrouter_time_to_first_token_seconds"
_FAILURES: Final = " / ".join(
    sum_by("provider", "localrouter_attempts_total", where=where)
    for where in ('{outcome!~"succeeded|cancelled"}', '{outcome!="cancelled"}')
)
# Partitions are by day: naming the days is what keeps the others unread.
_ATTEMPTS: Final = """SELECT provider, outcome, count(*)::float8 AS attempts,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95,
  max(http_status) AS status, max(error_code) AS error
FROM ledger.attempts
WHERE position >= 0
  AND day BETWEEN to_char(to_timestamp($__unixEpochFrom()) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    AND to_char(to_timestamp($__unixEpochTo()) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
  AND time_ms BETWEEN $__unixEpochFrom() * 1000::bigint AND $__unixEpochTo() * 1000::bigint
GROUP BY 1, 2
ORDER BY 1, 3 DESC, 2"""


def _spent(what: str) -> str:
    return f"""SELECT start AS "time", g.provider AS metric, ({what})::float8 AS value
FROM ledger.rollups r JOIN ledger.rollup_groups g ON g.id = r.group_id
WHERE {IN_RANGE}
GROUP BY 1, 2
HAVING {what} > 0
ORDER BY 1, 2"""


def providers() -> Dashboard:
    """Return the dashboard."""
    health = [
        states(
            "Health",
            "max by (provider) (localrouter_provider_up)",
            "{{provider}}",
            "What probes and traffic say. No bar: nothing is known yet.",
            {"0": ("unhealthy", "red"), "1": ("answers", "green")},
        ),
        states(
            "Circuit breaker",
            "max by (provider) (localrouter_circuit_state)",
            "{{provider}}",
            "Open: nothing is sent there for a while. Half open: single trials.",
            {"0": ("closed", "green"), "1": ("half open", "yellow"), "2": ("open", "red")},
        ),
    ]
    attempts = [
        lines(
            "Attempts per second",
            "ops",
            "As the providers service ends them.",
            [("{{provider}} {{outcome}}", sum_by("provider, outcome", "localrouter_attempts_total"))],
        ),
        lines(
            "Failures",
            "percentunit",
            "Share of attempts that failed, those cancelled by clients left out.",
            [
                (
                    "{{provider}}",
                    _FAILURES,
                )
            ],
        ),
        rows(
            "Attempts by outcome",
            _ATTEMPTS,
            "From the ledger, with the 95th percentile of their duration.",
            {"p95": "ms"},
        ).span(24),
    ]
    times = [
        lines(
            "Duration P95",
            "s",
            "Of requests, by who answered.",
            [("{{provider}}", quantile(0.95, _DURATION, "provider", ASKED))],
        ),
        lines(
            "Time to first token P95",
            "s",
            "By who answered.",
            [("{{provider}}", quantile(0.95, _TTFT, "provider", ASKED))],
        ),
    ]
    spent = [
        amounts(
            "Tokens",
            _spent("sum(tried_input + tried_cached + tried_cache_write + tried_output)"),
            "short",
            "Of all attempts, failed ones included.",
        ),
        amounts("Cost", _spent("sum(tried_cost_usd) + sum(tried_cost_pico) / 1e12"), "currencyUSD", "Of all attempts."),
    ]
    says = "Whether providers answer, what their breakers do, and how attempts at them end."
    panels = [("Health", health), ("Attempts", attempts), ("How long they take", times), ("What went there", spent)]
    return filled(board("localrouter-providers", "LocalRouter: providers", says), panels)
