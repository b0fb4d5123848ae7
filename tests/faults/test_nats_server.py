import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path

import pytest

from services.embedded.nats_server import NatsServer
from shared.kernel.errors import LogUnavailable, OutcomeUnknown, StartRefused
from shared.log.nats import NatsLog
from shared.log.port import LR_CONFIG, LR_USAGE, Append
from shared.runtime.bootstrap import bootstrap_log
from shared.testing.log_contract import enabled, failure_of, subject, take, until

MASTER = bytes(range(32))


async def gateway(server: NatsServer) -> NatsLog:
    await bootstrap_log(server.url, user="bootstrap", password=server.users["bootstrap"])
    return await NatsLog.connect(server.url, user="gateway", password=server.users["gateway"])


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def arguments(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def contents(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(content).hexdigest() for path, content in read_all(folder).items()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.faults)])
async def test_what_was_acknowledged_survives_a_killed_server(tmp_path: Path, kills: int) -> None:
    acknowledged: dict[str, int] = {}
    given_up: set[str] = set()
    enough = asyncio.Event()
    async with NatsServer(tmp_path, MASTER) as server:
        log = await gateway(server)
        follower = log.follow(LR_USAGE)
        followed: list[str] = []

        async def follow() -> None:
            async for recorded in follower:
                followed.append(recorded.raw.decode())  # noqa: PERF401  it never ends

        async def publish(lane: int) -> None:
            number = 0
            while not enough.is_set():
                number += 1
                name = f"{lane}:{number}"
                while name not in acknowledged and name not in given_up:
                    try:
                        acknowledged[name] = await log.publish("lr.usage.g", name.encode(), message_id=name)
                    except (OutcomeUnknown, LogUnavailable):
                        if number % 2:
                            given_up.add(name)

        following = asyncio.create_task(follow())
        publishing = [asyncio.create_task(publish(lane)) for lane in range(4)]
        for _ in range(kills):
            before, pid = len(acknowledged), server.pid
            await until(lambda n=before: len(acknowledged) > n + 20)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda p=pid: server.pid not in (None, p))
        before = len(acknowledged)
        await until(lambda: len(acknowledged) > before + 20)
        enough.set()
        await asyncio.gather(*publishing)
        stored = [(item.raw.decode(), item.sequence) async for item in log.read(LR_USAGE)]
        await until(lambda: len(followed) == len(stored))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await follower.aclose()
        await log.close()
    names = [name for name, _ in stored]
    assert len(set(names)) == len(names)
    assert acknowledged.items() <= dict(stored).items()
    assert followed == names


async def test_a_server_that_died_is_started_again_with_its_port_and_users(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, MASTER) as server:
        log = await gateway(server)
        [first] = await log.append(Append(subject("a"), [enabled()], 0))
        url, pid = server.url, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.pid not in (None, pid))
        await until(log.connected)
        assert server.url == url
        assert [item.sequence async for item in log.read(LR_CONFIG)] == [first]
        await log.close()


async def test_a_silent_server_leaves_the_outcome_unknown_and_a_retry_settles_it(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, MASTER) as server:
        await bootstrap_log(server.url, user="bootstrap", password=server.users["bootstrap"])
        log = await NatsLog.connect(server.url, user="gateway", password=server.users["gateway"], answer_s=0.2)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        write = Append(subject("a"), [enabled()], 0)
        await failure_of(OutcomeUnknown, log.append(write))
        await failure_of(LogUnavailable, log.position(LR_CONFIG))
        os.kill(pid, signal.SIGCONT)
        assert await log.append(write) == [1]
        assert [item.sequence async for item in log.read(LR_CONFIG)] == [1]
        await log.close()


async def test_without_a_server_nothing_is_written_later_either(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, MASTER) as server:
        log = await gateway(server)
        pid = server.pid
        assert pid is not None
    await until(lambda: not log.connected())
    async with asyncio.timeout(4):
        await failure_of(LogUnavailable, log.append(Append(subject("a"), [enabled()], 0)))
        await failure_of(LogUnavailable, log.publish("lr.usage.g", b"x", message_id="1"))
        await failure_of(LogUnavailable, log.bucket("lr_plans").get("a"))
    await log.close()
    await failure_of(LogUnavailable, log.position(LR_CONFIG))


CHILD = """
import asyncio, sys
from pathlib import Path
from services.embedded.nats_server import NatsServer

async def main():
    server = NatsServer(Path(sys.argv[1]), bytes(range(32)), kernel_tells=sys.argv[2] == "kernel")
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def child(home: Path, how: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(home), how, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.strip().isdigit():
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            assert line, "the child ended"
        yield process, int(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("how", ["kernel", "watcher"])
async def test_the_server_goes_with_its_killed_parent_and_the_folder_is_free_again(tmp_path: Path, how: str) -> None:
    async with child(tmp_path, how) as (process, pid):
        assert alive(pid)
        process.kill()
        await process.wait()
        async with NatsServer(tmp_path, MASTER) as server:
            assert not alive(pid)
            await (await gateway(server)).close()


async def test_a_second_start_on_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    async with child(tmp_path, "kernel") as (process, pid):
        error = await failure_of(StartRefused, NatsServer(tmp_path, MASTER).start())
        assert f"process {process.pid}" in str(error)
        assert alive(pid)


async def test_a_wrong_or_missing_key_is_refused_with_the_store_unchanged(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        async with NatsServer(folder, MASTER) as server:
            log = await gateway(server)
            await log.append(Append(subject("a"), [enabled()], 0))
            await log.close()
    store, key_file = home / "nats" / "store", home / "nats" / "store-key.json"
    before, key = contents(store), key_file.read_bytes()
    assert any("jetstream" in name for name in before)

    assert "master key" in str(await failure_of(StartRefused, NatsServer(home, bytes(32)).start()))
    for content in (b"", b"{}", key.replace(b'"nonce":"', b'"nonce":"AAAA'), key[:30] + key[31:]):
        key_file.write_bytes(content)
        await failure_of(StartRefused, NatsServer(home, MASTER).start())
    key_file.write_bytes((other / "nats" / "store-key.json").read_bytes())
    assert "another store" in str(await failure_of(StartRefused, NatsServer(home, MASTER).start()))
    key_file.unlink()
    assert "missing" in str(await failure_of(StartRefused, NatsServer(home, MASTER).start()))
    assert not key_file.exists()
    assert contents(store) == before

    key_file.write_bytes(key)
    async with NatsServer(home, MASTER) as server:
        log = await gateway(server)
        assert [item.sequence async for item in log.read(LR_CONFIG)] == [1]
        await log.close()


async def test_no_file_of_the_folder_shows_what_was_stored(tmp_path: Path) -> None:
    canary = b"canary-7f3e9c1b"
    async with NatsServer(tmp_path, MASTER) as server:
        log = await gateway(server)
        for number in range(300):
            await log.publish("lr.usage.g", canary * 3, message_id=str(number))
        await log.append(Append(subject("a"), [enabled(canary.decode())], 0))
        passwords = [password.encode() for password in server.users.values()]
        files = read_all(tmp_path)
        assert sum(len(content) for content in files.values()) > 300 * len(canary) * 3
        assert [path for path, content in files.items() if canary in content] == []
        shown = {path.name for path, content in files.items() for password in passwords if password in content}
        assert shown == {"nats.conf"}
        assert server.pid is not None
        assert not any(password in arguments(server.pid) for password in passwords)
        assert (tmp_path / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "nats").stat().st_mode & 0o777 == 0o700
        await log.close()
    assert not (tmp_path / "nats" / "nats.conf").exists()


async def test_the_running_server_syncs_every_write(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, MASTER) as server:
        assert "sync_interval: always" in (tmp_path / "nats" / "nats.conf").read_text()
        assert await server.durable() is True


async def test_a_follower_far_behind_a_restart_misses_nothing(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, MASTER) as server:
        log = await gateway(server)
        await log.append(Append(subject("a"), [enabled() for _ in range(900)], 0))
        async with contextlib.aclosing(log.follow(LR_CONFIG)) as follower:
            seen = [item.sequence for item in await take(follower, 300)]
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            seen += [item.sequence for item in await take(follower, 600)]
        assert seen == list(range(1, 901))
        await log.close()
