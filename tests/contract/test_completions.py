"""The port between gateway and providers, in-process and over HTTP, and what only the network can do to it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.adapters.providers_http import HttpCompletions
from services.providers.app import Providers, build
from services.providers.domain.provider import PROVIDER as DECIDER
from services.providers.domain.provider import AddProvider
from services.providers.settings import ProvidersSettings
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Completions, Data, Fail, FailureKind, Head, Tail, encode_frame
from shared.kernel.errors import Refusal
from shared.log.aggregates import Aggregates
from shared.log.memory import MemoryLog
from shared.log.port import SECRETS
from shared.log.secrets import SecretStore
from shared.log.snapshots import SnapshotStore
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from shared.runtime.server import HttpServer, bind
from shared.testing.completions_contract import PROVIDER, CompletionsContract, completion, frames_of
from shared.testing.upstream import Upstream

TOKEN = "service-token"


@pytest.fixture
async def wall() -> AsyncIterator[Upstream]:
    async with Upstream() as scripted:
        yield scripted


@pytest.fixture
async def providers(wall: Upstream, tmp_path: Path) -> AsyncIterator[Providers]:
    log = MemoryLog()
    spec = ProviderSpec(slug="wall", vendor="openai-compatible", base_url=f"{wall.url}/v1", local=True)
    aggregates = Aggregates(log, clock=SYSTEM_CLOCK, new_id=new_id, source="test")
    added = await aggregates.handle(DECIDER, PROVIDER, AddProvider(PROVIDER, spec), actor="test")
    assert not isinstance(added, Refusal)
    built = build(
        ProvidersSettings(home=tmp_path, local_model=False),
        log=log,
        secrets=SecretStore(log.bucket(SECRETS), os.urandom(32)),
        clock=SYSTEM_CLOCK,
        new_id=new_id,
        snapshots=SnapshotStore(tmp_path / "snapshots"),
        environ={},
        token=TOKEN,
    )
    await built.service.start()
    yield built
    await built.service.stop()


@contextlib.asynccontextmanager
async def served(providers: Providers) -> AsyncIterator[str]:
    bound = bind("127.0.0.1", 0)
    server = HttpServer(providers.service.app, bound, grace_s=1)
    task = asyncio.create_task(server.run_until_stopped())
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.stop()
    server.stop()
    await task


class TestInProcess(CompletionsContract):
    @pytest.fixture
    def completions(self, providers: Providers) -> Completions:
        return providers.completions


class TestOverHttp(CompletionsContract):
    @pytest.fixture
    async def completions(self, providers: Providers) -> AsyncIterator[Completions]:
        async with served(providers) as url:
            client = HttpCompletions(url, TOKEN)
            yield client
            await client.stop()

    async def test_a_wrong_token_is_unavailable(self, providers: Providers) -> None:
        async with served(providers) as url:
            client = HttpCompletions(url, "wrong")
            (failure,) = await frames_of(client, completion())
            await client.stop()
        assert isinstance(failure, Fail)
        assert failure.kind is FailureKind.UNAVAILABLE

    async def test_nobody_there_is_unavailable(self) -> None:
        client = HttpCompletions("http://127.0.0.1:9", TOKEN)
        (failure,) = await frames_of(client, completion())
        await client.stop()
        assert isinstance(failure, Fail)
        assert failure.kind is FailureKind.UNAVAILABLE


HEAD = Head(status=200, content_type="text/event-stream")
CHUNK = Data(b'data: {"x":1}\n\n', content=True)


@contextlib.asynccontextmanager
async def peer(*pieces: bytes, reset: bool = False) -> AsyncIterator[str]:
    """A providers service that answers with ``pieces`` of a body and is gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = sum(len(piece) for piece in pieces) + (1000 if reset else 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if reset:
            writer.transport.abort()
        else:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_frames_split_at_every_byte_are_the_same_frames():
    frames = [HEAD, CHUNK, CHUNK, Tail(closing=b"data: [DONE]\n\n")]
    stream = b"".join(encode_frame(frame) for frame in frames)
    async with peer(*(stream[at : at + 1] for at in range(len(stream)))) as url:
        client = HttpCompletions(url, TOKEN)
        assert await frames_of(client, completion(stream=True)) == frames
        await client.stop()


@pytest.mark.parametrize("reset", [True, False])
async def test_a_peer_killed_in_the_middle_is_a_cut(reset):
    stream = encode_frame(HEAD) + encode_frame(CHUNK)
    async with peer(stream, encode_frame(CHUNK)[:5], reset=reset) as url:
        client = HttpCompletions(url, TOKEN)
        head, chunk, last = await frames_of(client, completion(stream=True))
        await client.stop()
    assert (head, chunk) == (HEAD, CHUNK)
    assert isinstance(last, Fail)
    assert last.kind is FailureKind.CUT


async def test_bytes_that_are_no_frames_are_unavailable():
    async with peer(b"\x09\x00\x00\x00\x01x") as url:
        client = HttpCompletions(url, TOKEN)
        (failure,) = await frames_of(client, completion())
        await client.stop()
    assert isinstance(failure, Fail)
    assert failure.kind is FailureKind.UNAVAILABLE
