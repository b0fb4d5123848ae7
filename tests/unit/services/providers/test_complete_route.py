"""``POST /internal/v1/complete``: bad input is a clear answer; ``/metrics`` shows what was attempted."""

import asyncio

import msgspec
import pytest

from services.providers.api import complete
from services.providers.api.complete import complete_app
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import FrameDecoder, Head, Tail
from shared.testing.completions_contract import PROVIDER, completion
from shared.testing.upstream import Upstream


async def post(app, *messages, method="POST", path="/internal/v1/complete"):
    """Send ASGI messages; return status and body."""
    waiting = list(messages)
    sent = []

    async def receive():
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def body(raw: bytes, *, more: bool = False):
    return {"type": "http.request", "body": raw, "more_body": more}


async def test_a_request_in_pieces_is_answered_with_frames(house):
    async with Upstream() as wall:
        spec = ProviderSpec(slug="wall", vendor="openai-compatible", base_url=f"{wall.url}/v1", local=True)
        async with house((PROVIDER, spec, None)) as running:
            raw = msgspec.json.encode(completion())
            status, answer = await post(running.service.app, body(raw[:10], more=True), body(raw[10:]))
            _, metrics = await post(running.service.app, method="GET", path="/metrics")
    frames = list(FrameDecoder().feed(answer))
    assert status == 200
    assert isinstance(frames[0], Head)
    assert isinstance(frames[-1], Tail)
    assert b'localrouter_attempts_total{outcome="succeeded",provider="wall"} 1.0' in metrics
    assert b'localrouter_circuit_state{provider="wall"} 0.0' in metrics


@pytest.mark.parametrize("raw", [b"", b"nope", b"[]", b"{}", b'{"attempt_id": 7}', b"\xff"])
async def test_what_is_no_completion_is_a_400(house, raw):
    async with house() as running:
        status, answer = await post(running.service.app, body(raw))
    assert status == 400
    assert b"not a completion" in answer


async def test_another_method_is_a_405(house):
    async with house() as running:
        status, _ = await post(running.service.app, body(b""), method="GET")
    assert status == 405


async def test_a_request_that_is_too_large_or_cut_is_a_413(monkeypatch):
    monkeypatch.setattr(complete, "MAX_REQUEST", 10)
    app = complete_app(None)  # type: ignore[arg-type]
    large, _ = await post(app, body(b"x" * 11))
    cut, _ = await post(app, body(b"x", more=True), {"type": "http.disconnect"})
    assert (large, cut) == (413, 413)
