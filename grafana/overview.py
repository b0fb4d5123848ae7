"""The overview: what was asked, what it cost, how long it took and how it ended."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.parts import ASKED, IN_RANGE, amounts, board, figure, filled, lines, quantile, rows, sum_by

_DURATION: Final = "localrouter_request_duration_seconds"
_TTFT: Final = "localrouter_time_to_first_token_seconds"
_OVERHEAD: Final = "localrouter_gateway_overhead_seconds"
_SHARES: Final = (0.5, 0.95, 0.99)
_GROUPED: Final = "FROM ledger.rollups r JOIN ledger.rollup_groups g ON g.id = r.group_id"


def _total(what: str) -> str:
    return f"SELECT {what} AS value\n{_GROUPED}\nWHERE {IN_RANGE}"


def _usd(column: str) -> str:
    """Return a sum in USD: whole dollars and pico-dollars are columns of their own."""
    return f"sum({column}_usd) + sum({column}_pico) / 1e12"


def _over_time(metric: str, what: str) -> str:
    return f"""SELECT start AS "time", {metric} AS metric, {what} AS value
{_GROUPED}
WHERE {IN_RANGE}
GROUP BY 1, 2
HAVING {what} > 0
ORDER BY 1, 2"""


def _top(column: str, name: str) -> str:
    return f"""SELECT g.{column} AS {name}, sum(requests)::float8 AS requests,
  sum(input + cached + cache_write + output)::float8 AS tokens, ({_usd("cost")})::float8 AS cost
{_GROUPED}
WHERE {IN_RANGE}
GROUP BY 1
HAVING sum(requests) > 0
ORDER BY cost DESC, requests DESC, 1
LIMIT 20"""


_TOKENS: Final = f"""SELECT start AS "time", class AS metric, sum(amount)::float8 AS value
{_GROUPED}
CROSS JOIN LATERAL (
  VALUES ('input', input), ('cached', cached), ('cache_write', cache_write), ('output', output)
) AS t (class, amount)
WHERE {IN_RANGE}
GROUP BY 1, 2
HAVING sum(amount) > 0
ORDER BY 1, 2"""

_SUCCESS: Final = """sum(requests) FILTER (WHERE status = 'succeeded')::float8
  / NULLIF(sum(requests) FILTER (WHERE status IN ('succeeded', 'failed', 'interrupted')), 0)"""


def overview() -> Dashboard:
    """Return the dashboard."""
    totals = [
        figure("Requests", _total("sum(requests)::float8"), "short", "All that the ledger holds of this range."),
        figure(
            "Success",
            _total(_SUCCESS),
            "percentunit",
            "Of what was answered or failed; cancelled and refused requests are the clients' own.",
        ),
        figure(
            "Tokens",
            _total("sum(input + cached + cache_write + output)::float8"),
            "short",
            "Input, cached, written to a cache, output. Reasoning is part of output.",
        ),
        figure("Cost", _total(f"({_usd('cost')})::float8"), "currencyUSD", "Of everything whose price is known."),
        figure("Unpriced requests", _total("sum(unpriced)::float8"), "short", "They hold something of unknown price."),
        figure(
            "Attempts per request",
            _total("sum(attempts)::float8 / NULLIF(sum(requests), 0)"),
            "short",
            "More than 1: fallback had something to do.",
        ),
    ]
    over_time = [
        amounts(
            "Requests by how they ended",
            _over_time("status", "sum(requests)::float8"),
            "short",
            "By minute up to a day, by hour up to a month, then by day.",
        ),
        amounts("Tokens by class", _TOKENS, "short", "Disjoint classes, as vendors bill them."),
        amounts(
            "Cost by model",
            _over_time("model", f"({_usd('tried_cost')})::float8"),
            "currencyUSD",
            "Where it was spent: failed attempts are with the model that was tried.",
        ),
        lines(
            "Requests per second by router",
            "reqps",
            "As projected from the log; seconds late.",
            [("{{router}}", sum_by("router", "localrouter_requests_total"))],
        ),
    ]
    times = [
        lines(
            "Duration",
            "s",
            "From a request's arrival to its end, refused ones left out.",
            [(f"P{round(share * 100)}", quantile(share, _DURATION, where=ASKED)) for share in _SHARES],
        ),
        lines(
            "Time to first token",
            "s",
            "From a request's arrival to its first content.",
            [(f"P{round(share * 100)}", quantile(share, _TTFT)) for share in _SHARES],
        ),
        lines(
            "What LocalRouter itself takes",
            "s",
            "Duration less the time of waiting for vendors.",
            [(f"P{round(share * 100)}", quantile(share, _OVERHEAD)) for share in _SHARES],
        ),
        lines(
            "Success over time",
            "percentunit",
            "Of what was answered or failed.",
            [
                (
                    "success",
                    sum_by("", "localrouter_requests_total", where='{status="succeeded"}')
                    + " / "
                    + sum_by("", "localrouter_requests_total", where='{status=~"succeeded|failed|interrupted"}'),
                )
            ],
        ),
    ]
    units = {"cost": "currencyUSD", "tokens": "short"}
    tops = [
        rows("By key", _top("key_name", "key"), "The twenty that cost most.", units),
        rows("By model", _top("model", "model"), "The model that answered, with all that its requests cost.", units),
        rows("By router", _top("router", "router"), "Empty: the model was named by the client.", units),
    ]
    says = "What was asked, what it cost, how long it took and how it ended."
    panels = [("This range", totals), ("Over time", over_time), ("How long it took", times), ("Who and what", tops)]
    return filled(board("localrouter-overview", "LocalRouter: overview", says), panels)
