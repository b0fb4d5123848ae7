"""``/metrics`` of several services in one process."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from shared.runtime.metrics import metrics_app
from shared.runtime.service import Service


async def test_services_of_one_process_announce_a_common_name_once_and_differ_by_label() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    Counter("cats", "Cats.", registry=registries[0]).inc(3)
    reasons: list[str] = []
    Service(name="router", app=unserved, registry=registries[0])
    Service(name="metrics", app=unserved, registry=registries[1], not_ready=lambda: reasons)
    shown = metrics_app(*registries)
    assert (await readiness(shown))[1] == {"router": 1.0, "metrics": 1.0}
    reasons.append("the ledger is away")
    text, ready = await readiness(shown)
    assert ready == {"router": 1.0, "metrics": 0.0}
    assert text.count("# TYPE localrouter_ready gauge") == 1
    assert "cats_total 3.0" in text


async def readiness(shown: Any) -> tuple[str, dict[str, float]]:
    body = bytearray()

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    await shown({"type": "http"}, None, send)
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    return body.decode(), {sample.labels["service"]: sample.value for sample in families["localrouter_ready"].samples}


async def unserved(*_: Any) -> None:
    raise AssertionError
