"""What docker-compose.yml promises, read off the file: no engine is asked."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from shared.runtime.containers import MASTER_SHARE, SHARES
from shared.runtime.healthcheck import PORTS

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OWN = {name for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()

each = pytest.mark.parametrize("name", SERVICES)


def rendered(text: str, **variables: str) -> str:
    """Return a value with its variables put in, as Compose does."""
    found = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
    return found.sub(lambda match: variables.get(match[1], match[2] or ""), text)


@each
def test_nobody_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user", "image's" if name in OWN else "root")
    assert user != "root"
    assert not user.startswith("0")
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "edge" else [])
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_has_a_user_of_its_own() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "--mount" not in DOCKERFILE


@each
def test_the_root_file_system_is_read_only_and_everything_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"]["max-size"]
    assert all("size=" in tmpfs or "/var/run/" in tmpfs for tmpfs in service.get("tmpfs", []))


def test_only_the_gateway_and_grafana_are_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    ports = {name: [rendered(port) for port in given] for name, given in published.items()}
    assert ports.pop("edge") == ["127.0.0.1:3443:3443"]
    assert SERVICES["edge"]["profiles"] == ["edge"]
    assert ports == {"gateway": ["127.0.0.1:3000:3000"], "grafana": ["127.0.0.1:3004:3000"]}
    opened = rendered(published["gateway"][0], LOCALROUTER_PUBLISH="0.0.0.0")
    assert opened == "0.0.0.0:3000:3000"


def test_the_inside_has_no_way_out_and_the_stores_are_nowhere_else() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    inside_alone = {name for name, service in SERVICES.items() if service.get("networks") == ["inside"]}
    assert {"nats", "postgres", "prometheus", "metrics", "router", "streams", "cli"} <= inside_alone
    assert SERVICES["bootstrap"]["network_mode"] == "none"


@each
def test_secrets_are_in_volumes_and_not_in_the_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|SECRET|KEY", variable):
            in_a_file = variable.endswith("_FILE") and value.startswith(("/run/localrouter/", "/run/master/"))
            passed_on = variable.endswith("_API_KEY") and value == f"${{{variable}:-}}"
            assert in_a_file or passed_on, variable


@each
def test_each_container_sees_its_own_secrets_only_and_cannot_change_them(name: str) -> None:
    mounts = [volume for volume in SERVICES[name].get("volumes", []) if volume.startswith("secrets")]
    if name == "bootstrap":
        shares = {volume.partition(":")[0].removeprefix("secrets-") for volume in mounts} - {"secrets"}
        assert shares == {"nats", MASTER_SHARE, *SHARES}
        return
    wanted = [f"secrets-{name}:/run/localrouter:ro"] if name == "nats" or name in SHARES else []
    wanted += ["secrets-master:/run/master:ro"] if name in ("providers", "restore") else []
    wanted += ["secrets-master:/run/master"] if name == "gateway" else []
    assert mounts == wanted


@each
def test_what_a_container_reads_of_its_secrets_is_there(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if variable.endswith("_FILE") and value.startswith("/run/localrouter/"):
            assert value.removeprefix("/run/localrouter/") in SHARES[name], variable


@each
def test_every_volume_and_folder_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in FILE["volumes"]


def test_nothing_is_started_before_what_it_needs_is_well() -> None:
    conditions = {
        (name, other): how["condition"]
        for name, service in SERVICES.items()
        for other, how in service.get("depends_on", {}).items()
    }
    assert {how for (_, other), how in conditions.items() if other in ("bootstrap", "streams")} == {
        "service_completed_successfully"
    }
    assert {how for (_, other), how in conditions.items() if other not in ("bootstrap", "streams")} == {
        "service_healthy"
    }
    for name in ("router", "providers", "metrics", "gateway"):
        assert (name, "streams") in conditions
    for name in ("nats", "postgres"):
        assert (name, "bootstrap") in conditions


def test_the_ledger_is_in_postgresql() -> None:
    given = SERVICES["metrics"]["environment"]
    assert given["LOCALROUTER_DATABASE__URL"] == "postgresql://localrouter@postgres:5432/localrouter"
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == "localrouter"
    assert given["LOCALROUTER_DATABASE__PASSWORD_FILE"] == "/run/localrouter/database-password"


def test_every_long_lived_container_says_how_it_is() -> None:
    for name, service in SERVICES.items():
        if service["restart"] == "unless-stopped":
            assert name in OWN or service["healthcheck"]["test"], name
    assert {*PORTS} == {name for name in OWN if SERVICES[name]["restart"] == "unless-stopped"}


def test_images_of_others_are_pinned_to_a_version() -> None:
    for name, service in SERVICES.items():
        if name not in OWN:
            assert re.search(r":v?\d+\.\d+|:\d+-alpine", service["image"]), service["image"]


def test_the_builders_context_holds_no_secret_and_no_history() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {line for line in lines if line.startswith("!")} == {
        "!shared",
        "!services",
        "!requirements",
        "!deploy/wheelhouse",
    }
