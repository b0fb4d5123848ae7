"""A time limit that is moved for nothing."""

import asyncio
import contextlib

import pytest

from shared.runtime.watchdog import Watchdog


def soon(seconds: float = 0.01) -> float:
    return asyncio.get_running_loop().time() + seconds


async def guarded(watchdog: Watchdog, awaited: asyncio.Event) -> str:
    try:
        await awaited.wait()
    except asyncio.CancelledError:
        if not watchdog.expired():
            raise
        return "expired"
    return "done"


async def test_an_await_past_the_limit_is_cut_and_the_task_goes_on() -> None:
    with contextlib.closing(Watchdog()) as watchdog:
        watchdog.arm(soon())
        assert await guarded(watchdog, asyncio.Event()) == "expired"
        watchdog.arm(soon())
        assert await guarded(watchdog, asyncio.Event()) == "expired", "it serves again"
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_at_rest_or_closed_it_cuts_nothing() -> None:
    with contextlib.closing(Watchdog()) as watchdog:
        watchdog.arm(soon())
        watchdog.rest()
        await asyncio.sleep(0.03)
        watchdog.arm(soon())
    await asyncio.sleep(0.03)


async def test_a_limit_moved_back_and_one_moved_forward_both_hold() -> None:
    with contextlib.closing(Watchdog()) as watchdog:
        watchdog.arm(soon(0.01))
        watchdog.arm(soon(60))
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.03, done.set)
        assert await guarded(watchdog, done) == "done"
        watchdog.arm(soon(0.01))
        assert await guarded(watchdog, asyncio.Event()) == "expired"


async def test_a_cancellation_from_elsewhere_is_not_taken_for_its_own() -> None:
    async def serve() -> None:
        with contextlib.closing(Watchdog()) as watchdog:
            watchdog.arm(soon(60))
            await guarded(watchdog, asyncio.Event())

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation() -> None:
    async def serve() -> None:
        with contextlib.closing(Watchdog()) as watchdog:
            watchdog.arm(soon(0))
            asyncio.get_running_loop().call_soon(task.cancel)
            await guarded(watchdog, asyncio.Event())

    task = asyncio.create_task(serve())
    with pytest.raises(asyncio.CancelledError):
        await task
