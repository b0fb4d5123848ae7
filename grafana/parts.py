"""What every dashboard is made of: the two data sources, questions to them, and panels of one look."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

from grafana_foundation_sdk.builders import common as shapes
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard

PROMETHEUS: Final = dashboard.DataSourceRef("prometheus", "prometheus")
LEDGER: Final = dashboard.DataSourceRef("grafana-postgresql-datasource", "ledger")
"""Type and uid, as grafana/provisioning/datasources names them."""

FITTING: Final = """resolution = CASE
  WHEN $__unixEpochTo() - $__unixEpochFrom() <= 86400 THEN 60
  WHEN $__unixEpochTo() - $__unixEpochFrom() <= 2678400 THEN 3600
  ELSE 86400
END"""
"""Minutes up to a day, hours up to a month, days beyond."""
IN_RANGE: Final = f"start BETWEEN $__unixEpochFrom() AND $__unixEpochTo() AND {FITTING}"

ASKED: Final = '{provider!=""}'
"""Of requests that some model was asked for."""

Format = Literal["table", "time_series"]
Colours = Mapping[str, tuple[str, str]]
"""Text and colour by value."""


class Sql(Dataquery, Builder[Dataquery]):
    """A question to the ledger; the SDK has no class for it."""

    def __init__(self, sql: str, form: Format) -> None:
        self._sql = sql
        self._form = form

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana keeps it."""
        return {
            "datasource": LEDGER,
            "refId": "A",
            "rawQuery": True,
            "editorMode": "code",
            "format": self._form,
            "rawSql": self._sql,
        }

    def build(self) -> Self:
        """Return it: it is complete from the start."""
        return self


def figure(title: str, sql: str, unit: str, says: str) -> stat.Panel:
    """Return a panel of one number that the ledger gives."""
    return _number(title, unit, says).datasource(LEDGER).with_target(Sql(sql, "table"))


def gauge(title: str, expr: str, unit: str, says: str, *, warn: float | None = None) -> stat.Panel:
    """Return a panel of the newest value that Prometheus has; it is red from ``warn`` on."""
    panel = _number(title, unit, says).datasource(PROMETHEUS)
    if warn is not None:
        steps = [dashboard.Threshold(value=None, color="green"), dashboard.Threshold(value=warn, color="red")]
        limits = boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
        panel = panel.thresholds(limits).color_mode(common.BigValueColorMode.VALUE)
    return panel.with_target(prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).instant().ref_id("A"))


def _number(title: str, unit: str, says: str) -> stat.Panel:
    newest = shapes.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    return (
        stat.Panel()
        .title(title)
        .description(says)
        .unit(unit)
        .height(4)
        .span(4)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.NONE)
        .reduce_options(newest)
        .no_value("none")
    )


def amounts(title: str, sql: str, unit: str, says: str) -> timeseries.Panel:
    """Return stacked bars of what the ledger gives as ``time``, ``metric`` and a value."""
    stacked = shapes.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return (
        _lines(title, unit, says)
        .datasource(LEDGER)
        .draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(stacked)
        .with_target(Sql(sql, "time_series"))
    )


def lines(title: str, unit: str, says: str, exprs: Sequence[tuple[str, str]]) -> timeseries.Panel:
    """Return lines of what Prometheus gives; ``exprs``: legend and expression."""
    panel = _lines(title, unit, says).datasource(PROMETHEUS)
    for number, (legend, expr) in enumerate(exprs):
        asked = prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).range().legend_format(legend)
        panel = panel.with_target(asked.ref_id("ABCDEF"[number]))
    return panel


def _lines(title: str, unit: str, says: str) -> timeseries.Panel:
    legend = (
        shapes.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    hover = shapes.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    return (
        timeseries.Panel()
        .title(title)
        .description(says)
        .unit(unit)
        .height(8)
        .span(12)
        .min(0)
        .legend(legend)
        .tooltip(hover)
        .span_nulls(False)
    )


def states(title: str, expr: str, legend: str, says: str, meanings: Colours) -> statetimeline.Panel:
    """Return how states came after each other; ``meanings``: text and colour by value."""
    mapped = {
        value: dashboard.ValueMappingResult(text=text, color=colour, index=number)
        for number, (value, (text, colour)) in enumerate(meanings.items())
    }
    asked = prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).range().legend_format(legend).ref_id("A")
    return (
        statetimeline.Panel()
        .title(title)
        .description(says)
        .height(8)
        .span(12)
        .datasource(PROMETHEUS)
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .mappings([dashboard.ValueMap(mapped)])
        .color_scheme(boards.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .with_target(asked)
    )


def rows(title: str, sql: str, says: str, units: Mapping[str, str] | None = None) -> table.Panel:
    """Return a table of what the ledger gives; ``units`` by column."""
    panel = (
        table.Panel()
        .title(title)
        .description(says)
        .height(8)
        .span(12)
        .datasource(LEDGER)
        .with_target(Sql(sql, "table"))
    )
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [dashboard.DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def board(uid: str, title: str, says: str) -> boards.Dashboard:
    """Return an empty dashboard."""
    others = (
        boards.DashboardLink("Others")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags(["localrouter"])
        .as_dropdown(False)
        .keep_time(True)
    )
    return (
        boards.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["localrouter"])
        .timezone("browser")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(others)
    )


def sum_by(labels: str, metric: str, *, where: str = "") -> str:
    """Return the rate of a counter, added up by ``labels``."""
    by = f" by ({labels})" if labels else ""
    return f"sum{by} (rate({metric}{where}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram, over all or by label."""
    counted = sum_by(f"le, {by}" if by else "le", f"{histogram}_bucket", where=where)
    return f"histogram_quantile({share}, {counted})"


Panels = Sequence[tuple[str, Sequence[Any]]]
"""Panels by the title of their row."""


def filled(empty: boards.Dashboard, panels: Panels) -> dashboard.Dashboard:
    """Return a dashboard with its rows."""
    for title, row in panels:
        empty = empty.with_row(boards.Row(title))
        for panel in row:
            empty = empty.with_panel(panel)
    return empty.build()
