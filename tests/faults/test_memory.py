"""What a core dump of a process would hold after its secrets were used: what is in use, and nothing that is not."""

import platform
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
                until(lambda: ask(system.url, key) == 200, "the vendor answers")
                needles = {"first": FIRST, "second": SECOND, "key": key, "first_key": said["key"]}
                master = (tmp_path / "home" / "master.key").read_text().strip()

                def held(*here: str, gone: tuple[str, ...]) -> None:
                    """Ask again and again until memory holds what is in use, in as many copies as are under way, and
                    not what is gone: what is left in a cycle is freed when the collector comes by."""
                    raw = {name: value.encode() for name, value in needles.items()}
                    raw["master"] = bytes.fromhex(master)
                    found: list[dict[str, int]] = []

                    def as_wanted() -> bool:
                        assert {ask(system.url, key) for _ in range(20)} == {200}
                        found.append(count_in_memory(process.pid, raw))
                        return all(found[-1][name] for name in here) and not any(found[-1][name] for name in gone)

                    try:
                        until(as_wanted, f"memory holds {here} and not {gone}")
                    finally:
                        print(found[-1])

                put = "/providers/wall/credentials"
                system.http.put(put, json={"value": FIRST}).raise_for_status()
                held("first", "master", gone=("second", "key", "first_key"))
                system.http.put(put, json={"value": SECOND}).raise_for_status()
                held("second", gone=("first", "key"))
                system.http.delete(put).raise_for_status()
                held("master", gone=("first", "second", "key"))
                system.http.post("/secrets/rotate", json={"what": "master"}).raise_for_status()
                held(gone=("master", "first", "second", "key", "first_key"))
        finally:
            processes.stop()
