"""Attempts at a scripted vendor, from the request to the last frame."""

import pytest

from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Frame, Head, Tail, Timeouts
from shared.testing.upstream import Upstream


def asked(**given: object) -> Completion:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    base = {
        "attempt_id": "a-1",
        "request_id": "r-1",
        "provider_id": "p-1",
        "native_id": "small",
        "model": "wall/small",
        "dialect": "openai_chat",
        "body": body,
    }
    return Completion(**{**base, **given})  # type: ignore[arg-type]


def at(wall: Upstream) -> ProviderSpec:
    return ProviderSpec(slug="wall", vendor="openai-compatible", base_url=f"{wall.url}/v1", local=True)


async def frames_of(house, request: Completion) -> list[Frame]:
    return [frame async for frame in house.completions.complete(request)]


async def test_a_whole_answer_is_head_data_tail(house):
    async with Upstream() as wall, house(("p-1", at(wall), None)) as running:
        head, data, tail = await frames_of(running, asked())
    assert isinstance(head, Head)
    assert head.status == 200
    assert isinstance(data, Data)
    assert data.content
    assert isinstance(tail, Tail)
    assert tail.tokens.source == "provider"
    assert tail.tokens.output > 0


async def test_a_stream_ends_with_a_tail_that_closes(house):
    async with Upstream() as wall, house(("p-1", at(wall), None)) as running:
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        head, *data, tail = await frames_of(running, asked(stream=True, body=body))
    assert isinstance(head, Head)
    assert isinstance(tail, Tail)
    assert tail.closing == b"data: [DONE]\n\n"
    assert tail.tokens.source == "provider"
    streamed = b"".join(frame.payload for frame in data if isinstance(frame, Data))
    assert b"[DONE]" not in streamed
    assert b'"usage":{' not in streamed.replace(b" ", b"")


async def test_a_provider_that_is_not_there_is_unavailable(house):
    async with house() as running:
        (failure,) = await frames_of(running, asked())
    assert isinstance(failure, Fail)
    assert failure.kind is FailureKind.UNAVAILABLE


async def test_nobody_listening_is_a_failure_to_connect(house):
    spec = ProviderSpec(slug="wall", vendor="openai-compatible", base_url="http://127.0.0.1:9/v1", local=True)
    async with house(("p-1", spec, None)) as running:
        (failure,) = await frames_of(running, asked())
    assert isinstance(failure, Fail)
    assert failure.kind is FailureKind.CONNECT


@pytest.mark.model
async def test_the_built_in_model_answers(house):
    async with house(local_model=True) as running:
        found = await running.fold_id("local")
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
        request = asked(provider_id=found, native_id="smollm2:135m", body=body, timeouts=Timeouts(total_ms=60_000))
        head, data, tail = await frames_of(running, request)
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    assert isinstance(tail, Tail)
    assert tail.tokens.output == 8
