"""What every form of the ``Completions`` port must do, shown against a scripted vendor behind it."""

import asyncio
from typing import Any

from shared.contracts.frames import (
    Completion,
    Completions,
    Data,
    Fail,
    FailureKind,
    Frame,
    Head,
    Partial,
    Tail,
    Timeouts,
)
from shared.testing.upstream import Upstream
from shared.testing.upstream_behaviour import (
    Behaviour,
    answer,
    context_too_long,
    cut,
    events,
    hold,
    rate_limited,
    stall,
)

PROVIDER: str = "01900000-0000-7000-8000-00000000000a"
"""The id of the provider that stands for the wall."""


def completion(*, stream: bool = False, **fields: Any) -> Completion:
    """Return a request for the wall's model ``small``; ``fields`` are those of Completion."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
    given: dict[str, Any] = {
        "attempt_id": "01900000-0000-7000-8000-00000000000b",
        "request_id": "01900000-0000-7000-8000-00000000000c",
        "provider_id": PROVIDER,
        "native_id": "small",
        "model": "wall/small",
        "dialect": "openai_chat",
        "body": body,
        "stream": stream,
    }
    return Completion(**(given | fields))


async def frames_of(completions: Completions, request: Completion) -> list[Frame]:
    """Return every frame of an answer."""
    return [frame async for frame in completions.complete(request)]


def payload(frames: list[Frame]) -> bytes:
    """Return the bytes for the client."""
    return b"".join(frame.payload for frame in frames if isinstance(frame, Data))


class CompletionsContract:
    """A form of the port supplies the fixtures ``wall`` and ``completions`` (with ``PROVIDER`` at the wall)."""

    async def test_a_whole_answer_is_head_data_tail(self, wall: Upstream, completions: Completions) -> None:
        """One piece, marked as content."""
        wall.script("small", answer("good day"))
        head, data, tail = await frames_of(completions, completion())
        assert isinstance(head, Head)
        assert head.status == 200
        assert isinstance(data, Data)
        assert data.content
        assert b"good day" in data.payload
        assert isinstance(tail, Tail)
        assert tail.closing == b""
        assert tail.tokens.source == "provider"

    async def test_a_stream_ends_with_a_tail_that_brings_the_last_bytes(
        self, wall: Upstream, completions: Completions
    ) -> None:
        """``[DONE]`` is never data."""
        wall.script("small", events(32))
        head, *data, tail = await frames_of(completions, completion(stream=True))
        assert isinstance(head, Head)
        assert head.content_type.startswith("text/event-stream")
        assert isinstance(tail, Tail)
        assert tail.closing == b"data: [DONE]\n\n"
        assert b"w31" in payload(data)
        assert b"[DONE]" not in payload(data)

    async def test_what_comes_before_content_is_not_marked_as_content(
        self, wall: Upstream, completions: Completions
    ) -> None:
        """The role alone is not content, so another candidate may still be tried."""
        wall.script("small", hold(0))
        frames = completions.complete(completion(stream=True))
        head, role = await anext(frames), await anext(frames)
        wall.release()
        rest = [frame async for frame in frames]
        assert isinstance(head, Head)
        assert isinstance(role, Data)
        assert not role.content
        assert any(isinstance(frame, Data) and frame.content for frame in rest)

    async def test_a_refusal_is_a_failure_alone(self, wall: Upstream, completions: Completions) -> None:
        """With kind, status, words and the time to stay away."""
        wall.script("small", rate_limited("7"), context_too_long())
        (limited,) = await frames_of(completions, completion())
        (long,) = await frames_of(completions, completion(stream=True))
        assert isinstance(limited, Fail)
        assert (limited.kind, limited.http_status) == (FailureKind.RATE_LIMITED, 429)
        assert limited.retry_after_ms == 7_000
        assert isinstance(long, Fail)
        assert long.kind is FailureKind.CONTEXT_LENGTH

    async def test_a_cut_stream_ends_with_a_failure_and_what_was_counted(
        self, wall: Upstream, completions: Completions
    ) -> None:
        """Never with a tail."""
        wall.script("small", cut(3))
        *_, last = await frames_of(completions, completion(stream=True))
        assert isinstance(last, Fail)
        assert last.kind is FailureKind.CUT
        assert last.tokens.source == "partial"
        assert last.tokens.output > 0

    async def test_silence_ends_at_its_limit(self, wall: Upstream, completions: Completions) -> None:
        """Silence between two tokens is a time-out."""
        wall.script("small", stall(2))
        *_, last = await frames_of(completions, completion(stream=True, timeouts=Timeouts(idle_ms=80)))
        assert isinstance(last, Fail)
        assert last.kind is FailureKind.TIMEOUT

    async def test_an_unknown_provider_is_unavailable(self, completions: Completions) -> None:
        """And nothing was sent."""
        (failure,) = await frames_of(completions, completion(provider_id="nobody"))
        assert isinstance(failure, Fail)
        assert failure.kind is FailureKind.UNAVAILABLE

    async def test_closing_early_cancels_upstream(self, wall: Upstream, completions: Completions) -> None:
        """The vendor sees its socket closed at once."""
        wall.script("small", stall(2))
        frames = completions.complete(completion(stream=True))
        async for frame in frames:
            if isinstance(frame, Data) and frame.content:
                break
        await frames.aclose()
        await wall.until(lambda: wall.completions[0].closed_by == "client", limit_s=1)

    async def test_closing_before_the_first_frame_cancels_upstream(
        self, wall: Upstream, completions: Completions
    ) -> None:
        """Also while the vendor has not said anything."""
        wall.script("small", Behaviour(fault="stall", where="before_headers"))
        frames = completions.complete(completion(stream=True))
        waiting = asyncio.ensure_future(anext(frames))
        await wall.until(lambda: len(wall.completions) == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await frames.aclose()
        await wall.until(lambda: wall.completions[0].closed_by == "client", limit_s=1)

    async def test_a_reader_that_waits_makes_the_vendor_wait(self, wall: Upstream, completions: Completions) -> None:
        """A slow client does not fill our memory: what is in flight is bounded by socket buffers."""
        size = 48 * 1024 * 1024
        wall.script("small", Behaviour(text=" ".join(["x" * 65_536] * (size // 65_536)), events=size // 65_536))
        frames = completions.complete(completion(stream=True))
        async for frame in frames:
            if isinstance(frame, Data) and frame.content:
                break
        sent = await _settled_bytes(wall)
        assert sent < size * 2 // 3
        await frames.aclose()

    async def test_what_was_shown_of_a_broken_stream_is_told_to_who_asked_for_it(
        self, wall: Upstream, completions: Completions
    ) -> None:
        """And to nobody else: it costs a copy of the stream."""
        for keep in (True, False):
            wall.script("small", cut(3))
            *_, last = await frames_of(completions, completion(stream=True, keep_partial=keep))
            assert isinstance(last, Fail)
            assert (last.partial is not None) == keep
            if last.partial is not None:
                assert (last.partial.text, last.partial.tool_calls) == ("w0 w1 w2", False)
                assert b"w0" in last.partial.opening

    async def test_who_takes_no_prefill_is_not_asked_to_go_on(self, wall: Upstream, completions: Completions) -> None:
        """Another candidate may take it."""
        request = completion(stream=True, resume=Partial(text="w0 w1"))
        [last] = await frames_of(completions, request)
        assert isinstance(last, Fail)
        assert last.kind is FailureKind.UNSUPPORTED
        assert wall.completions == []

    async def test_many_attempts_at_once_do_not_mix(self, wall: Upstream, completions: Completions) -> None:
        """Each gets its own answer."""

        async def one(index: int) -> bool:
            body = {"messages": [{"role": "user", "content": f"number-{index}-"}], "stream": True}
            return f"number-{index}-".encode() in payload(
                await frames_of(completions, completion(stream=True, body=body))
            )

        del wall
        assert all(await asyncio.gather(*(one(index) for index in range(24))))


async def _settled_bytes(wall: Upstream) -> int:
    """Return how much the wall has sent once it sends no more."""
    sent, calm = -1, 0
    async with asyncio.timeout(20):
        while calm < 5:
            now = wall.completions[0].bytes_sent
            calm = calm + 1 if now == sent else 0
            sent = now
            await asyncio.sleep(0.02)
    return sent
