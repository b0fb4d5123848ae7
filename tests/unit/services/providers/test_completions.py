"""Attempts at a scripted vendor, from the request to the last frame."""

import asyncio
import contextlib
import time

import pytest

from services.providers.adapters.upstream import guarded_addresses
from shared.contracts.config import ProviderSpec
from shared.contracts.frames import Data, Fail, FailureKind, Head, Tail, Timeouts
from shared.testing import upstream_behaviour as does
from shared.testing.completions_contract import PROVIDER, completion, frames_of, payload
from shared.testing.upstream import Upstream

F = FailureKind


def at(wall: Upstream, **fields) -> ProviderSpec:
    given = {"slug": "wall", "vendor": "openai-compatible", "base_url": f"{wall.url}/v1", "local": True}
    return ProviderSpec(**{**given, **fields})


@pytest.fixture
async def wall():
    async with Upstream() as scripted:
        yield scripted


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (does.rate_limited("2"), F.RATE_LIMITED),
        (does.overloaded(), F.OVERLOADED),
        (does.server_error(), F.SERVER_ERROR),
        (does.unauthorized(), F.AUTHENTICATION),
        (does.out_of_money(), F.QUOTA),
        (does.out_of_money(429), F.QUOTA),
        (does.model_not_found(), F.MODEL_NOT_FOUND),
        (does.context_too_long(), F.CONTEXT_LENGTH),
        (does.content_policy(), F.CONTENT_POLICY),
        (does.reset(), F.CONNECT),
        (does.error_in_200(), F.SERVER_ERROR),
        (does.empty(), F.MALFORMED),
        (does.Behaviour(status=302, headers={"location": "http://169.254.169.254/"}), F.SERVER_ERROR),
    ],
)
async def test_every_refusal_is_of_its_kind_and_nothing_was_shown(house, wall, behaviour, kind, stream):
    wall.script("small", behaviour)
    async with house((PROVIDER, at(wall), None)) as running:
        *before, last = await frames_of(running.completions, completion(stream=stream))
    assert isinstance(last, Fail)
    assert last.kind is kind
    assert not any(isinstance(frame, Data) and frame.content for frame in before)
    assert len(wall.completions) == 1


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (does.cut(by="reset"), F.CUT),
        (does.cut(by="close"), F.CUT),
        (does.cut(by="half"), F.CUT),
        (does.cut(by="end"), F.CUT),
        (does.cut(None), F.CUT),
        (does.malformed(), F.MALFORMED),
        (does.error_in_stream(), F.SERVER_ERROR),
        (does.error_in_stream(3), F.SERVER_ERROR),
        (does.pings_only(), F.MALFORMED),
    ],
)
async def test_every_broken_stream_ends_in_a_failure(house, wall, behaviour, kind):
    wall.script("small", behaviour)
    async with house((PROVIDER, at(wall), None)) as running:
        *_, last = await frames_of(running.completions, completion(stream=True))
    assert isinstance(last, Fail)
    assert last.kind is kind


async def test_a_stream_without_done_but_with_an_end_is_whole(house, wall):
    wall.script("small", does.no_done())
    async with house((PROVIDER, at(wall), None)) as running:
        *_, last = await frames_of(running.completions, completion(stream=True))
    assert isinstance(last, Tail)


@pytest.mark.parametrize("behaviour", [does.silence(), does.stall(None), does.pings_only(then="stall")])
async def test_a_first_token_that_does_not_come_is_a_timeout(house, wall, behaviour):
    wall.script("small", behaviour)
    async with house((PROVIDER, at(wall), None)) as running:
        limits = Timeouts(first_token_ms=80)
        *_, last = await frames_of(running.completions, completion(stream=True, timeouts=limits))
    assert isinstance(last, Fail)
    assert last.kind is F.TIMEOUT


async def test_a_whole_answer_has_the_total_limit(house, wall):
    wall.script("small", does.silence())
    async with house((PROVIDER, at(wall), None)) as running:
        (last,) = await frames_of(running.completions, completion(timeouts=Timeouts(total_ms=80)))
    assert isinstance(last, Fail)
    assert last.kind is F.TIMEOUT


async def test_reasoning_keeps_a_stream_alive_before_content(house, wall):
    wall.script("small", does.answer("done", reasoning="a b c d e f", event_ms=30))
    async with house((PROVIDER, at(wall), None)) as running:
        limits = Timeouts(first_token_ms=120)
        *_, last = await frames_of(running.completions, completion(stream=True, timeouts=limits))
    assert isinstance(last, Tail)


@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_pass_untouched_however_they_arrive(house, wall, stream):
    wall.script("small", does.answer("grüß dich, Welt", chunk_bytes=3), does.answer("grüß dich, Welt"))
    async with house((PROVIDER, at(wall), None)) as running:
        split = await frames_of(running.completions, completion(stream=stream))
        whole = await frames_of(running.completions, completion(stream=stream))
    assert b"dich" in payload(split)
    assert len(payload(split)) == len(payload(whole))
    assert isinstance(split[-1], Tail)
    assert split[-1].tokens == whole[-1].tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_connections_are_kept_and_used_again(house, wall, stream):
    async with house((PROVIDER, at(wall), None)) as running:
        await wall.until(lambda: len(wall.attempts) >= 2 and all(attempt.finished_at for attempt in wall.attempts))
        for _ in range(6):
            frames = running.completions.complete(completion(stream=stream))
            async for frame in frames:
                if isinstance(frame, Tail):
                    break
            await frames.aclose()
    assert max(attempt.connection for attempt in wall.attempts) <= 3, "one of a probe, one of a list, one of our own"


async def test_a_kept_connection_that_died_is_no_error(house):
    served = 0
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first request of a connection and reset it at the second."""
        nonlocal served
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with contextlib.closing(writer.transport), contextlib.suppress(asyncio.IncompleteReadError):
            head = await read_request(reader)
            served += head.startswith(b"POST")
            body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            await read_request(reader)
            writer.transport.abort()

    async def read_request(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
        return head

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        spec = ProviderSpec(slug="wall", vendor="openai-compatible", base_url=base, local=True)
        async with house((PROVIDER, spec, None)) as running:
            for number in range(6):
                head, *_, last = await frames_of(running.completions, completion())
                assert isinstance(last, Tail)
                assert isinstance(head, Head)
                assert head.resent == (number > 0), "over the connection of the one before, which was reset"
        await asyncio.gather(*serving)
    assert served == 6, "each was answered once"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_nested_without_end_is_a_failure_like_any_other(house, wall, status, stream):
    deep = '{"choices":' + "[" * 100_000
    body = f"data: {deep}\n\n" if stream and status == 200 else deep
    kind = "text/event-stream" if stream and status == 200 else "application/json"
    wall.script("small", does.Behaviour(status=status, body=body, content_type=kind))
    async with house((PROVIDER, at(wall), None)) as running:
        *_, last = await frames_of(running.completions, completion(stream=stream))
    assert isinstance(last, Fail)
    assert last.kind is (F.MALFORMED if status == 200 else F.SERVER_ERROR)


async def test_an_answer_of_any_size_is_capped(house, wall):
    wall.script("small", does.Behaviour(body="{" + " " * (65 * 1024 * 1024) + "}"))
    async with house((PROVIDER, at(wall), None)) as running:
        *_, last = await frames_of(running.completions, completion())
    assert isinstance(last, Fail)
    assert last.kind is F.MALFORMED


async def test_what_is_sent_is_the_clients_body_and_no_more(house, wall):
    body = {"model": "auto", "messages": [{"role": "user", "content": "x"}], "brand_new": [1], "models": ["a"]}
    options = at(wall).options
    async with house((PROVIDER, at(wall, options=options), "sk-wall-credential")) as running:
        await frames_of(running.completions, completion(body=body))
    (attempt,) = wall.completions
    assert attempt.body == {"model": "small", "messages": body["messages"], "brand_new": [1]}
    assert attempt.header("authorization") == "Bearer sk-wall-credential"
    assert attempt.header("accept-encoding") == "identity"
    assert attempt.header("cookie") is None


async def test_a_credential_that_is_refused_is_out_and_the_next_takes_its_place(house):
    async with Upstream(api_key="sk-good-credential") as wall, contextlib.AsyncExitStack() as stack:
        wall.script("/v1/models", does.server_error(), repeat=True)  # so that no probe finds it out first
        running = await stack.enter_async_context(house((PROVIDER, at(wall), "sk-bad-credential")))
        await running.add_credential(PROVIDER, "sk-good-credential", name="spare")
        first = await frames_of(running.completions, completion())
        second = await frames_of(running.completions, completion())
    assert isinstance(first[-1], Fail)
    assert first[-1].kind is F.AUTHENTICATION
    assert first[-1].rotated
    assert "sk-bad" not in first[-1].message
    assert isinstance(second[-1], Tail)
    head = second[0]
    assert isinstance(head, Head)
    assert head.credential_id != first[-1].credential_id


async def test_a_vendor_that_needs_a_credential_gets_no_request_without_one(house):
    spec = ProviderSpec(slug="openai", vendor="openai", base_url="https://api.openai.com/v1")
    async with house((PROVIDER, spec, None)) as running:
        (failure,) = await frames_of(running.completions, completion())
    assert isinstance(failure, Fail)
    assert failure.kind is F.UNAVAILABLE


async def test_a_vendors_key_of_the_environment_goes_to_that_vendor_alone(house, wall):
    spec = at(wall, vendor="openai", slug="mine")
    async with house((PROVIDER, spec, None), environ={"OPENAI_API_KEY": "sk-environment-key"}) as running:
        (failure,) = await frames_of(running.completions, completion())
    assert isinstance(failure, Fail)
    assert failure.kind is F.UNAVAILABLE
    assert not wall.completions


async def test_a_disabled_provider_gets_no_request(house, wall):
    async with house((PROVIDER, at(wall, enabled=False), None)) as running:
        (failure,) = await frames_of(running.completions, completion())
    assert isinstance(failure, Fail)
    assert failure.kind is F.UNAVAILABLE
    assert not wall.attempts


async def test_after_failures_in_a_row_nothing_is_sent(house, wall):
    wall.script("small", does.server_error(), repeat=True)
    async with house((PROVIDER, at(wall), None)) as running:
        kinds = [(await frames_of(running.completions, completion()))[-1].kind for _ in range(5)]
    assert kinds == [F.SERVER_ERROR] * 3 + [F.UNAVAILABLE] * 2
    assert len(wall.completions) == 3


async def test_the_requests_own_faults_do_not_open_the_breaker(house, wall):
    wall.script("small", does.context_too_long(), repeat=True)
    async with house((PROVIDER, at(wall), None)) as running:
        kinds = [(await frames_of(running.completions, completion()))[-1].kind for _ in range(5)]
    assert kinds == [F.CONTEXT_LENGTH] * 5


async def test_ollama_is_spoken_natively(house, wall):
    spec = ProviderSpec(slug="ollama", vendor="ollama", base_url=wall.url, local=True)
    async with house((PROVIDER, spec, None)) as running:
        *frames, tail = await frames_of(running.completions, completion(stream=True))
        *_, whole = await frames_of(running.completions, completion())
    assert isinstance(tail, Tail)
    assert isinstance(whole, Tail)
    assert payload(frames).startswith(b"data: {")
    assert {attempt.path for attempt in wall.completions} == {"/api/chat"}


@pytest.mark.parametrize("vendor", ["openai-compatible", "ollama"])
async def test_completions_are_answered_by_every_vendor(house, wall, vendor):
    base = wall.url if vendor == "ollama" else f"{wall.url}/v1"
    spec = ProviderSpec(slug="wall", vendor=vendor, base_url=base, local=True)
    asked = completion(dialect="openai_completions", body={"model": "auto", "prompt": "hello there"})
    async with house((PROVIDER, spec, None)) as running:
        *frames, tail = await frames_of(running.completions, asked)
    assert isinstance(tail, Tail)
    assert b'"text"' in payload(frames)


async def test_a_name_that_leads_into_a_private_network_is_refused():
    with pytest.raises(OSError, match="private network"):
        await guarded_addresses("localhost", 80, local=False)


async def test_a_count_of_tokens_that_no_vendor_makes_is_answered_without_asking_it(house, wall):
    async with house((PROVIDER, at(wall), None)) as running:
        asked = completion(dialect="anthropic_count_tokens")
        head, data, tail = await frames_of(running.completions, asked)
    assert isinstance(head, Head)
    assert isinstance(data, Data)
    assert b'"estimated":true' in data.payload
    assert tail == Tail()
    assert wall.completions == []


async def test_a_spent_plan_is_left_alone_until_its_window_opens_again(house):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer.transport), contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
            body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
            writer.write(b"anthropic-ratelimit-unified-5h-utilization: 0.97\r\n")
            writer.write(b"anthropic-ratelimit-unified-5h-reset: %d\r\n" % (time.time() + 3600))
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        spec = ProviderSpec(slug="plan", vendor="openai-compatible", base_url=base, local=True, subscription=True)
        async with house((PROVIDER, spec, "sk-plan-credential")) as running:
            answered = await frames_of(running.completions, completion())
            refused = await frames_of(running.completions, completion())
    assert isinstance(answered[-1], Tail)
    assert isinstance(refused[-1], Fail)
    assert refused[-1].kind is F.UNAVAILABLE
    assert "97% of the plan's 5h window" in refused[-1].message
    assert 3_000_000 < (refused[-1].retry_after_ms or 0) <= 3_600_000
