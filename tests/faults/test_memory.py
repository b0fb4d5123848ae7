"""What a core dump of a process would hold after its secrets were used: what is in use, and nothing that is not."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.testing.nats import free_port
from tests.support.memory import MISSING, count_in_memory
from tests.support.rotating import ask
from tests.support.system import Processes, System, environment, until, wall

OVERWRITING = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
}
"""Makes the C library overwrite what is freed; docs/explanation/security.md tells operators of it."""
FIRST, SECOND = "sk-canary-that-is-replaced-0123456789", "sk-canary-that-is-removed-0123456789"

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library overwrites in another way"),
]


def test_what_is_not_in_use_any_more_is_not_in_memory(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    (tmp_path / "home").mkdir()
    with wall(tmp_path, "small") as vendor:
        env = environment(tmp_path / "home", free_port(), **OVERWRITING)
        process = processes.start("embedded", ["services.embedded", "--json"], env)
        try:
            said = processes.first_line("embedded")
            with System(said["url"], (tmp_path / "home" / "admin-token").read_text().strip()) as system:
                system.provider(vendor.url, "wall", ["small"])
                key = system.key(target={"model": "wall/small"}, name="memory")
                needles = {"first": FIRST, "second": SECOND, "key": key, "first key": said["key"]}
                master = (tmp_path / "home" / "master.key").read_text().strip()

                def held(use: Callable[[], object]) -> dict[str, int]:
                    use()
                    until(lambda: ask(system.url, key) == 200, "the vendor answers")
                    assert {ask(system.url, key) for _ in range(20)} == {200}
                    raw = {name: value.encode() for name, value in needles.items()}
                    found = count_in_memory(process.pid, raw | {"master": bytes.fromhex(master)})
                    print(found)
                    return found

                put = "/providers/wall/credentials"
                found = held(lambda: system.http.put(put, json={"value": FIRST}).raise_for_status())
                assert found.pop("master") >= 1, "one can look at all"
                assert found == {"first": 1, "second": 0, "key": 0, "first key": 0}
                found = held(lambda: system.http.put(put, json={"value": SECOND}).raise_for_status())
                assert (found["first"], found["second"]) == (0, 1)
                found = held(lambda: system.http.delete(put).raise_for_status())
                assert (found["first"], found["second"], found["key"]) == (0, 0, 0)
                system.http.post("/secrets/rotate", json={"what": "master"}).raise_for_status()
                assert held(lambda: None)["master"] == 0, "nor is the old master key"
        finally:
            processes.stop()
