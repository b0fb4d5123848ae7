"""The way out: one kept-alive HTTP client towards vendors, without cookies, redirects or proxies."""

import socket
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from services.providers.domain.addresses import read_address, refused_ip

_IDLE_S: Final = 60.0
"""How long an unused connection is kept."""
_STALE: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


class AddressRefused(OSError):
    """A name resolves to an address that no provider may have."""


class GuardedResolver(AbstractResolver):
    """Resolves names and refuses addresses that a provider may not have, at the moment they are connected to."""

    def __init__(self, *, local: bool) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._local = local

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses; raises AddressRefused when one of them is refused."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            address = read_address(result["host"])
            why = None if address is None else refused_ip(address, local=self._local)
            if why is not None:
                raise AddressRefused(f"{host}: {why}")
        return found

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._inner.close()


@dataclass(slots=True)
class _Connection:
    """What a request learns of the connection it went over."""

    reused: bool = True


_CONNECTION: Final[ContextVar[_Connection | None]] = ContextVar("connection", default=None)


class _Connector(aiohttp.TCPConnector):
    """Tells the request whose connection is made anew; that of any other was kept from before."""

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        connection = _CONNECTION.get()
        if connection is not None:
            connection.reused = False
        return await super()._create_connection(*args, **kwargs)


class Upstream:
    """Sends requests to vendors. Private addresses are reached by ``local`` requests alone."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def start(self) -> None:
        """Open the pools."""
        for local, fresh in ((False, False), (False, True), (True, False), (True, True)):
            pool: dict[str, Any] = {"force_close": True} if fresh else {"keepalive_timeout": _IDLE_S}
            self._sessions[local, fresh] = aiohttp.ClientSession(
                connector=_Connector(limit=0, resolver=GuardedResolver(local=local), **pool),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )

    async def stop(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        local: bool,
        connect_s: float,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its head is there; how long that may take is the caller's.

        A request that went over a kept connection which the vendor had closed meanwhile is sent once more, over a new
        one: not a byte of an answer had come. Raises TimeoutError, aiohttp.ClientError, OSError.
        """
        connection = _Connection()
        _CONNECTION.set(connection)
        asked: dict[str, Any] = {
            "data": body,
            "headers": headers,
            "allow_redirects": False,
            "timeout": _connect_timeout(connect_s),
        }
        try:
            return await self._sessions[local, False].request(method, url, **asked)
        except _STALE:
            if not connection.reused:
                raise
        return await self._sessions[local, True].request(method, url, **asked)


@lru_cache(maxsize=64)
def _connect_timeout(connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s)


@lru_cache(maxsize=1024)
def endpoint(base_url: str, path: str) -> URL:
    """Return the address of ``path`` below a provider's base URL."""
    return URL(base_url.rstrip("/") + path, encoded=True)


async def read_capped(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return the body of an answer; None when it is longer than ``most`` bytes."""
    length = response.content_length
    if length is not None and length > most:
        return None
    body = await response.content.read(min(most, 65_536))
    if response.content.at_eof():
        return body
    parts = [body]
    size = len(body)
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > most:
            return None
        parts.append(chunk)
    return b"".join(parts)
