"""The log's health: what waits to be written, what waits to be counted, and what was set aside."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.parts import board, filled, gauge, lines, quantile, rows, states, sum_by


def log_health() -> Dashboard:
    """Return the dashboard."""
    now = [
        gauge(
            "Ledger behind the log",
            "sum(localrouter_projection_lag_events)",
            "short",
            "Messages of the usage log that are in no figure yet.",
            warn=1000,
        ),
        gauge(
            "Waiting in journals",
            "sum(localrouter_outbox_records)",
            "short",
            "Records that the gateways have and the log has not.",
            warn=1000,
        ),
        gauge(
            "Log away",
            "max(localrouter_log_away_seconds)",
            "s",
            "The longest that any gateway has been cut off from the log.",
            warn=1,
        ),
        gauge(
            "Dead letters",
            "sum(localrouter_dead_letters_total)",
            "short",
            "Messages that were set aside because they do not read, ever.",
            warn=1,
        ),
        gauge(
            "Requests of unknown price",
            "sum(localrouter_unpriced_requests_total)",
            "short",
            "Ever. What they cost is in no sum.",
        ),
        gauge(
            "Free disk",
            "min(localrouter_disk_free_bytes / localrouter_disk_bytes)",
            "percentunit",
            "The least of the disks that journals are on.",
        ),
    ]
    services = [
        states(
            "Services",
            "min by (service) (localrouter_ready)",
            "{{service}}",
            "Ready: it can do its job. /readyz says why not.",
            {"0": ("not ready", "red"), "1": ("ready", "green")},
        ),
        lines("Requests being answered", "short", "By gateway.", [("{{instance}}", "localrouter_requests_running")]),
    ]
    waiting = [
        lines(
            "Ledger behind the log over time",
            "short",
            "Messages, each of up to 256 records.",
            [("messages", "sum(localrouter_projection_lag_events)")],
        ),
        lines(
            "Journal not in the log yet",
            "bytes",
            "By gateway; full at 1 GiB.",
            [("{{instance}}", "localrouter_outbox_bytes")],
        ),
        lines("Records not in the log yet", "short", "By gateway.", [("{{instance}}", "localrouter_outbox_records")]),
        lines("Log away over time", "s", "By gateway.", [("{{instance}}", "localrouter_log_away_seconds")]),
    ]
    aside = [
        rows(
            "How far the ledger is",
            "SELECT consumer, stream, sequence::float8 AS sequence, identity FROM ledger.checkpoints ORDER BY 1",
            "The last message that is in it, and of which stream: another identity is another log.",
        ),
        rows(
            "Set aside",
            "SELECT sequence::float8 AS sequence, reason FROM ledger.buried ORDER BY 1 DESC LIMIT 100",
            "Messages of the usage log that do not read; they are kept in the stream LR_DEAD.",
        ),
        lines(
            "Refusals per second",
            "reqps",
            "Requests that were refused before any model was asked, by the error's code.",
            [("{{code}}", sum_by("code", "localrouter_refusals_total"))],
        ),
        lines(
            "Plans",
            "s",
            "How long the router takes to compile one.",
            [("P95", quantile(0.95, "localrouter_plan_compile_seconds"))],
        ),
    ]
    says = "What waits to be written, what waits to be counted, and what was set aside."
    panels = [("Now", now), ("Services", services), ("What waits", waiting), ("What was set aside", aside)]
    return filled(board("localrouter-log", "LocalRouter: log health", says), panels)
