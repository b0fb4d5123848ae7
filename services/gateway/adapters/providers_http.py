"""The providers service reached over HTTP: the same frames, length-prefixed, on kept-alive connections."""

from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
import msgspec

from shared.contracts.frames import Completion, Fail, FailureKind, Frame, FrameDecoder, Tail
from shared.kernel.errors import ContractBroken

_PATH: Final = "/internal/v1/complete"
_CONNECT_S: Final = 5.0
_SLACK_S: Final = 5.0
"""How much longer than the attempt itself may take an answer is waited for."""
_ENCODE: Final = msgspec.json.Encoder().encode


class HttpCompletions:
    """Implements ``Completions`` over the network; closing the generator early closes the connection, which cancels."""

    def __init__(self, base_url: str, token: str | None) -> None:
        self._url = base_url.rstrip("/") + _PATH
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool."""
        self._pool()

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def complete(self, request: Completion) -> AsyncGenerator[Frame, None]:
        """Make one attempt; see ``Completions``."""
        session = self._pool()
        limits = request.timeouts
        longest = (limits.connect_ms + limits.total_ms) / 1_000 + _SLACK_S
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=longest)
        began = False
        try:
            async with session.post(
                self._url, data=_ENCODE(request), headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    yield _unavailable(f"the providers service answered {response.status}")
                    return
                decoder = FrameDecoder()
                while data := await response.content.readany():
                    for frame in decoder.feed(data):
                        began = True
                        yield frame
                        if isinstance(frame, Tail | Fail):
                            return
                yield _lost(began=began, why="it ended in the middle")
        except (aiohttp.ClientError, TimeoutError, OSError, ContractBroken) as error:
            yield _lost(began=began, why=str(error) or type(error).__name__)


def _unavailable(message: str) -> Fail:
    return Fail(kind=FailureKind.UNAVAILABLE, message=message)


def _lost(*, began: bool, why: str) -> Fail:
    """Return the failure of an answer whose sender is gone: after its first frame it is cut."""
    if not began:
        return _unavailable(f"the providers service does not answer: {why}")
    return Fail(kind=FailureKind.CUT, message=f"the providers service was lost: {why}")
