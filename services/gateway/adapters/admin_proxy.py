"""Another service's part of the admin API, reached over HTTP with the service token."""

from typing import Final

import aiohttp
import msgspec
from yarl import URL

from shared.runtime.asgi import Receive, Scope, Send, respond

_DROPPED: Final = frozenset({b"host", b"authorization", b"connection", b"content-length", b"transfer-encoding"})
_PASSED_BACK: Final = frozenset({"content-type", "etag", "location", "retry-after", "allow"})
_MAX_BODY: Final = 8 * 1024 * 1024
_LIMIT: Final = aiohttp.ClientTimeout(total=60, connect=5)


class HttpClient:
    """The connections to the other services, as long as the process lives."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """Return the open pool."""
        assert self._session is not None, "used before start"
        return self._session


class RemoteService:
    """One internal service in another process."""

    def __init__(self, name: str, url: str, token: str, client: HttpClient) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._token = token
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _DROPPED
        ]
        headers.append(("authorization", f"Bearer {self._token}"))
        query = scope.get("query_string", b"").decode("latin-1")
        path = scope["raw_path"].decode("latin-1")  # as it came: decoded or tidied up it might be another route
        url = URL(self._url + path + (f"?{query}" if query else ""), encoded=True)
        body = await _read(receive)
        if body is None:
            await _problem(send, 413, "request_too_large", f"at most {_MAX_BODY} bytes are taken")
            return
        try:
            async with self._client.session().request(
                scope["method"], url, headers=headers, data=body or None, timeout=_LIMIT, allow_redirects=False
            ) as answer:
                raw = await answer.read()
                passed = [
                    (k.lower().encode(), v.encode()) for k, v in answer.headers.items() if k.lower() in _PASSED_BACK
                ]
                length = (b"content-length", str(len(raw)).encode())
                await send({"type": "http.response.start", "status": answer.status, "headers": [*passed, length]})
                await send({"type": "http.response.body", "body": raw})
        except (aiohttp.ClientError, TimeoutError) as error:
            await _problem(send, 503, "service_unavailable", f"the {self._name} service does not answer: {error}")

    async def not_ready(self) -> list[str]:
        """Return why the service is not ready; empty: it is."""
        try:
            async with self._client.session().get(
                self._url + "/readyz", headers={"authorization": f"Bearer {self._token}"}, timeout=_LIMIT
            ) as answer:
                if answer.status not in (200, 503):
                    return [f"the {self._name} service answers {answer.status}"]
                reasons: list[str] = msgspec.json.decode(await answer.read())["reasons"]
                return reasons
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, KeyError) as error:
            return [f"the {self._name} service does not answer: {error}"]


async def _problem(send: Send, status: int, code: str, detail: str) -> None:
    document = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code}
    await respond(send, status, msgspec.json.encode({**document, "detail": detail}), b"application/problem+json")


async def _read(receive: Receive) -> bytes | None:
    """Return the body, or None when it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)
