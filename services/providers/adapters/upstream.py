"""The way out: HTTP/1.1 over kept connections towards vendors, without cookies, redirects or proxies.

It asks one thing at a time over a connection and knows no more of HTTP than asking a vendor needs: a general client
spent more on a request than everything else here together.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote, urlsplit

import aiohappyeyeballs

from services.providers.adapters.http_answer import Answer, Broken, BrokenTwice
from services.providers.domain.addresses import host_name, read_address, refused_ip

_IDLE_S: Final = 60.0
"""How long an unused connection is kept."""
_SECOND_ADDRESS_S: Final = 0.25
"""After how long the next address of a name is tried as well (RFC 8305)."""
_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that are the client's own: what a provider's options say of them would break the framing."""


class AddressRefused(OSError):
    """A name resolves to an address that no provider may have."""


class Endpoint(NamedTuple):
    """Where a request goes; ``target`` is the path as it stands in the request."""

    secure: bool
    host: str
    port: int
    target: str
    name: str
    """What the ``host`` header says."""


_Pool = tuple[bool, bool, str, int]
"""What connections are kept by: whether they may be local, whether they are secure, host and port."""


async def guarded_addresses(host: str, port: int, *, local: bool) -> Any:
    """Return where ``host`` is, at the moment it is connected to; raises AddressRefused when one may not be used."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    for _, _, _, _, address in found:
        known = read_address(str(address[0]))
        why = f"{address[0]} does not read" if known is None else refused_ip(known, local=local)
        if why is not None:
            raise AddressRefused(f"{host}: {why}")
    return found


class _Connection(asyncio.Protocol):
    """One connection: carries an answer, or waits in its pool."""

    def __init__(self, pools: "_Pools", pool: _Pool) -> None:
        self.answer: Answer | None = None
        self.idle_since = 0.0
        self._pools = pools
        self._pool = pool
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.end()  # nothing was asked
        else:
            self.answer.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.answer is not None:
            self.answer.ended(exc)

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, loop: asyncio.AbstractEventLoop) -> Answer:
        """Send a request and return the answer that will come."""
        if self._transport is None:
            raise Broken("the connection was closed")
        self.answer = answer = Answer(self, loop)
        self._transport.write(request)
        return answer

    def hold(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def finished(self, *, whole: bool) -> None:
        self.answer = None
        if self._transport is not None:
            if whole and self.open and not self._transport.get_write_buffer_size():
                self._pools.keep(self._pool, self)
            else:
                self.end()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Pools:
    """Connections that wait for the next request; those that waited too long are closed by the one timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[_Pool, list[_Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, pool: _Pool) -> _Connection | None:
        """Return the connection that was used last and is still open."""
        waiting = self._waiting.get(pool)
        while waiting:
            connection = waiting.pop()
            if connection.open:
                return connection
        return None

    def keep(self, pool: _Pool, connection: _Connection) -> None:
        """Let a connection wait."""
        if self._closed:
            connection.end()
            return
        connection.idle_since = self.loop.time()
        self._waiting.setdefault(pool, []).append(connection)
        if self._timer is None:
            self._timer = self.loop.call_later(_IDLE_S, self._sweep)

    def close(self) -> None:
        """Close every connection that waits; one in use ends with its answer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for waiting in self._waiting.values():
            for connection in waiting:
                connection.end()
        self._waiting.clear()

    def _sweep(self) -> None:
        self._timer = None
        oldest = self.loop.time() - _IDLE_S
        for pool, waiting in list(self._waiting.items()):
            for connection in waiting:
                if connection.idle_since <= oldest:
                    connection.end()
            kept = [connection for connection in waiting if connection.open]
            if kept:
                self._waiting[pool] = kept
            else:
                del self._waiting[pool]
        if self._waiting:
            self._timer = self.loop.call_later(_IDLE_S / 2, self._sweep)


class Upstream:
    """Sends requests to vendors. Private addresses are reached by ``local`` requests alone."""

    def __init__(self) -> None:
        self._pools: _Pools | None = None

    async def start(self) -> None:
        """Open the pools."""
        self._pools = _Pools(asyncio.get_running_loop())

    async def stop(self) -> None:
        """Close every connection that is not in use."""
        if self._pools is not None:
            self._pools.close()

    async def send(
        self,
        method: str,
        url: Endpoint,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        local: bool,
        connect_s: float,
        fresh: bool = False,
    ) -> Answer:
        """Send a request and return the answer once its head is there; how long that may take is the caller's.

        A request that went over a kept connection which the vendor had closed meanwhile is sent once more, over a new
        one: not a byte of an answer had come. ``fresh``: it takes no kept one. Raises TimeoutError, OSError, of which
        BrokenTwice says that it was sent twice.
        """
        pools = self._pools
        if pools is None:
            raise OSError("the way out is not open")
        request = _request(method, url, headers, body)
        loop = pools.loop
        pool = local, url.secure, url.host, url.port
        connection = None if fresh else pools.take(pool)
        kept = connection is not None
        if connection is not None:
            answer = connection.ask(request, loop)
            try:
                await answer.head()
            except Broken:
                answer.close()
                if answer.began:
                    raise
            except BaseException:
                answer.close()
                raise
            else:
                return answer
        connection = await self._connect(pools, pool, connect_s)
        answer = connection.ask(request, loop)
        answer.resent = kept
        try:
            await answer.head()
        except Broken as error:
            answer.close()
            if kept:
                raise BrokenTwice(str(error)) from error
            raise
        except BaseException:
            answer.close()
            raise
        return answer

    async def _connect(self, pools: _Pools, pool: _Pool, connect_s: float) -> _Connection:
        local, secure, host, port = pool
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(connect_s):
            found: Any = await guarded_addresses(host, port, local=local)
            bound = await aiohappyeyeballs.start_connection(
                found, happy_eyeballs_delay=_SECOND_ADDRESS_S, interleave=1, loop=loop
            )
            try:
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _, connection = await loop.create_connection(
                    lambda: _Connection(pools, pool),
                    sock=bound,
                    ssl=self._tls if secure else None,
                    server_hostname=host if secure else None,
                )
            except BaseException:
                bound.close()
                raise
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


def _request(method: str, url: Endpoint, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as it travels; raises Broken for headers that would end before they should."""
    names = set(map(str.lower, headers))
    if not names.isdisjoint(_FRAMING):
        headers = {name: value for name, value in headers.items() if name.lower() not in _FRAMING}
    lines = [f"{method} {url.target} HTTP/1.1", *map(": ".join, headers.items())]
    if "host" not in names:
        lines.append(f"host: {url.name}")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise Broken("a header holds a line break")
    return f"{head}\r\n\r\n".encode() + (body or b"")


@lru_cache(maxsize=1024)
def endpoint(base_url: str, path: str) -> Endpoint:
    """Return the address of ``path`` below a provider's base URL; raises OSError for one that is none."""
    try:
        parts = urlsplit(base_url.rstrip("/") + path)
        host, port = host_name(parts.hostname or ""), parts.port
    except ValueError as error:
        raise OSError(f"{base_url} is no address: {error}") from error
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    return Endpoint(
        secure=secure,
        host=host,
        port=port or (443 if secure else 80),
        target=quote(target, safe="%/:?#[]@!$&'()*+,;=~"),
        name=name if port is None else f"{name}:{port}",
    )


async def read_capped(response: Answer, most: int) -> bytes | None:
    """Return the body of an answer; None when it is longer than ``most`` bytes."""
    length = response.content_length
    if length is not None and length > most:
        return None
    body = await response.readany()
    if response.at_eof():
        return body
    parts = [body]
    size = len(body)
    while chunk := await response.readany():
        size += len(chunk)
        if size > most:
            return None
        parts.append(chunk)
    return b"".join(parts)
