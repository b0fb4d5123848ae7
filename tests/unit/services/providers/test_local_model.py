"""The built-in model: started once on first use, stopped when idle, replaced when dead, gone with its parent."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from services.providers.adapters.local_model import BuiltInModel, installed
from shared.contracts.frames import Data, Tail, Timeouts
from shared.runtime.clock import SYSTEM_CLOCK
from shared.testing.completions_contract import completion, frames_of, payload

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not installed(), reason="the built-in model is not installed"),
]
PATIENT = Timeouts(first_token_ms=60_000, total_ms=60_000)


async def until(condition, limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  it is a process that we wait for
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers(house, stream):
    async with house(local_model=True) as running:
        provider = await running.fold_id("local")
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "stream": stream}
        asked = completion(provider_id=provider, native_id="smollm2:135m", body=body, stream=stream, timeouts=PATIENT)
        *frames, tail = await frames_of(running.completions, asked)
    assert isinstance(tail, Tail)
    assert 0 < tail.tokens.output <= 8
    assert tail.tokens.source == "provider"
    assert any(isinstance(frame, Data) and frame.content for frame in frames)
    assert b"choices" in payload(frames)


async def test_completions_and_schemas_are_answered(house):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with house(local_model=True) as running:
        provider = await running.fold_id("local")
        fields = {"provider_id": provider, "native_id": "smollm2:135m", "timeouts": PATIENT}
        text = {"prompt": "Once upon a time", "max_tokens": 4}
        plain = await frames_of(running.completions, completion(dialect="openai_completions", body=text, **fields))
        messages = [{"role": "user", "content": "ok?"}]
        chat = {"messages": messages, "response_format": form, "max_tokens": 20}
        shaped = await frames_of(running.completions, completion(body=chat, **fields))
    assert isinstance(plain[-1], Tail)
    assert b'"text":' in payload(plain)
    assert isinstance(shaped[-1], Tail)
    assert b"ok" in payload(shaped)


async def test_many_first_uses_start_one():
    model = BuiltInModel(idle_s=60, clock=SYSTEM_CLOCK)
    assert not model.running()
    found = await asyncio.gather(*(model.address() for _ in range(5)))
    assert len(set(found)) == 1
    await model.stop()
    assert not model.running()


async def test_it_stops_when_idle_and_not_while_it_is_used():
    model = BuiltInModel(idle_s=0.1, clock=SYSTEM_CLOCK)
    with model.using():
        first, _ = await model.address()
        with model.using():
            pass
        await asyncio.sleep(0.2)
        assert model.running()
    await until(lambda: not model.running())
    second, _ = await model.address()
    assert second != first or model.running()
    await model.stop()


async def test_a_dead_one_is_replaced():
    model = BuiltInModel(idle_s=60, clock=SYSTEM_CLOCK)
    await model.address()
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    await until(lambda: not model.running())
    await model.address()
    assert model.running()
    await model.stop()


_PARENT = """
import asyncio, sys
from services.providers.adapters.local_model import BuiltInModel
from shared.runtime.clock import SYSTEM_CLOCK
async def main():
    model = BuiltInModel(idle_s=60, clock=SYSTEM_CLOCK)
    await model.address()
    print(model.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
async def test_it_dies_with_its_parent():
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    line = b""
    async with asyncio.timeout(30):
        while not line.strip().isdigit():
            line = await parent.stdout.readline()
    child = int(line)
    assert alive(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(child), limit_s=3)
