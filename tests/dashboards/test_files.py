"""The dashboards as files: what Grafana's own types make of them, and that names in them are names of something."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from ruamel.yaml import YAML

from tests.dashboards.conftest import DASHBOARDS, ROOT

FILES = sorted(DASHBOARDS.glob("*.json"))
PROVISIONING = ROOT / "grafana" / "provisioning"
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def lost(document: Any, read: Any, where: str = "") -> Iterator[str]:
    """Yield what of a document is not in what was read of it; defaults may have come to it."""
    if isinstance(document, dict) and isinstance(read, dict):
        for name, value in document.items():
            yield from lost(value, read.get(name), f"{where}.{name}")
    elif isinstance(document, list) and isinstance(read, list) and len(document) == len(read):
        for number, (one, other) in enumerate(zip(document, read, strict=True)):
            yield from lost(one, other, f"{where}[{number}]")
    elif document != read:
        yield f"{where}: {document!r} was read as {read!r}"


@every_file
def test_grafanas_types_read_all_of_a_dashboard(path: Path) -> None:
    register_default_plugins()
    document = json.loads(path.read_text())
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert not list(lost(document, read))


@every_file
def test_panels_lie_side_by_side(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@every_file
def test_every_question_goes_to_a_source_that_is_provisioned(path: Path) -> None:
    sources = read(PROVISIONING / "datasources" / "localrouter.yml")["datasources"]
    known = {source["uid"]: source["type"] for source in sources}
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel.get("targets", ()):
            assert known[target["datasource"]["uid"]] == target["datasource"]["type"], panel["title"]
            assert panel["datasource"] == target["datasource"], panel["title"]


def test_grafana_finds_sources_and_dashboards_where_compose_puts_them() -> None:
    compose = read(ROOT / "docker-compose.yml")["services"]
    mounts = {
        mount.split(":")[1]: ROOT / mount.split(":")[0] for mount in compose["grafana"]["volumes"] if mount[0] == "."
    }
    [provider] = read(PROVISIONING / "dashboards" / "localrouter.yml")["providers"]
    assert mounts[provider["options"]["path"]] == DASHBOARDS
    assert mounts["/etc/grafana/provisioning"] == PROVISIONING
    sources = {
        source["uid"]: source for source in read(PROVISIONING / "datasources" / "localrouter.yml")["datasources"]
    }
    assert sources["prometheus"]["url"].split("//")[1].split(":")[0] in compose
    assert sources["ledger"]["url"].split(":")[0] in compose
    assert sources["ledger"]["user"] == compose["postgres"]["environment"]["POSTGRES_USER"]
    assert sources["ledger"]["jsonData"]["database"] == compose["postgres"]["environment"]["POSTGRES_DB"]


def test_dashboards_are_told_apart_by_their_uid() -> None:
    uids = [json.loads(path.read_text())["uid"] for path in FILES]
    assert len(set(uids)) == len(uids) == 3
