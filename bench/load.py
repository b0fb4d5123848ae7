"""Runs one load against one port of loopback: with the C generator where it was compiled, else with asyncio."""

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec

GENERATOR = Path(__file__).with_name("load")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one load came to."""

    done: int
    errors: int
    seconds: float
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Whole answers per second."""
        return self.done / self.seconds


def run(port: int, request: bytes, *, connections: int, seconds: float, contains: str) -> Load:
    """Send ``request`` over and over; an answer must have status 200 and contain ``contains``."""
    if not GENERATOR.exists():
        return asyncio.run(_run(port, request, connections, seconds, contains.encode()))
    with tempfile.NamedTemporaryFile() as file:
        file.write(request)
        file.flush()
        command = [str(GENERATOR), str(port), file.name, str(connections), str(seconds), contains]
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + 30)
    return msgspec.json.decode(result.stdout, type=Load)


async def _run(port: int, request: bytes, connections: int, seconds: float, contains: bytes) -> Load:
    latencies: list[int] = []
    errors = 0
    start = time.perf_counter()

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - start < seconds:
            began = time.perf_counter()
            writer.write(request)
            answer = await _answer(reader)
            if answer.startswith(b"HTTP/1.1 200") and contains in answer:
                latencies.append(int((time.perf_counter() - began) * 1e6))
            else:
                errors += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    elapsed = time.perf_counter() - start
    latencies.sort()
    middle, last = (latencies[int(part * (len(latencies) - 1))] if latencies else 0 for part in (0.5, 0.99))
    return Load(done=len(latencies), errors=errors, seconds=elapsed, p50_us=middle, p99_us=last)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    if b"content-length:" in lowered:
        return head + await reader.readexactly(int(lowered.partition(b"content-length:")[2].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return head + body
