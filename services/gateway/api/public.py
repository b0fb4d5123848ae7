"""The public face: guards hosts and origins, answers health, and sends each request to its part of the house."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from services.gateway.api.body import read_body, replayed
from services.gateway.api.data_plane import DataPlane
from services.gateway.domain.errors import ApiError
from services.gateway.domain.faces.registry import face_of
from services.gateway.domain.origin import Hosts, Origins
from shared.runtime.asgi import App, Headers, Message, Receive, Scope, Send, header, headers_of, respond
from shared.runtime.service import respond_ready

ADMIN: Final = "/admin/v1/"
MAX_ADMIN_BODY: Final = 8 * 1024 * 1024
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"
_ACTOR: Final = b"x-localrouter-actor"
_EXPOSED: Final = (
    b"x-request-id, request-id, x-localrouter-provider, x-localrouter-model, x-localrouter-router, "
    b"x-localrouter-attempts, x-localrouter-reason, x-localrouter-dropped-params, x-localrouter-cost-usd, "
    b"retry-after, etag"
)


class PublicApp:
    """The application on the one published port."""

    def __init__(
        self,
        *,
        data_plane: DataPlane,
        admin: Mapping[str, App],
        metrics: App,
        hosts: Hosts,
        origins: Origins,
        admin_token: str,
        not_ready: Callable[[], list[str]],
        refuse: Callable[[], str | None],
        body_timeout_s: float,
        metrics_token: str | None = None,
    ) -> None:
        """``admin``: applications by the first segment after ``/admin/v1/``; ``refuse`` says why none is taken.

        ``metrics_token`` opens ``/metrics``, too, and nothing else.
        """
        self._data_plane = data_plane
        self._admin = admin
        self._metrics = metrics
        self._hosts = hosts
        self._origins = origins
        self._admin_tokens = (admin_token,)
        self._metrics_tokens = (admin_token,) if metrics_token is None else (admin_token, metrics_token)
        self._not_ready = not_ready
        self._refuse = refuse
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        host = origin = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value if host is None else b""
            elif name == b"origin":
                origin = value
        path: str = scope["path"]
        if host is None or host not in self._hosts:
            message = "This host name is not one of this gateway's; see server.allowed_hosts."
            await _refuse(scope, ApiError(421, "misdirected_request", message), send)
        elif origin is None:
            await self._dispatch(path, scope, receive, send)
        elif origin in self._origins:
            await self._cross_origin(path, origin, scope, receive, send)
        else:
            message = "This web origin may not call; see server.cors_origins."
            await _refuse(scope, ApiError(403, "origin_not_allowed", message, kind="permission_error"), send)

    async def _cross_origin(self, path: str, origin: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method") is not None:
            preflight = [
                *allowed,
                (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
                (b"access-control-allow-headers", header(scope, b"access-control-request-headers") or b""),
                (b"access-control-max-age", b"600"),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": preflight})
            await send({"type": "http.response.body", "body": b""})
            return
        extra = [*allowed, (b"access-control-expose-headers", _EXPOSED)]

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._dispatch(path, scope, receive, send_allowed)

    async def _dispatch(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path.startswith(("/v1/", "/api/")):
            why = self._refuse()
            if why is None:
                await self._data_plane(scope, receive, send)
            else:
                await _refuse(scope, ApiError(503, "cut_off", why, kind="server_error"), send)
        elif path.startswith(ADMIN):
            await self._serve_admin(path, scope, receive, send)
        elif path == "/healthz":
            await respond(send, 200, b'{"status":"alive"}', _JSON)
        elif path == "/readyz":
            await respond_ready(send, self._not_ready())
        elif path == "/metrics":
            if _proves(scope, self._metrics_tokens):
                await self._metrics(scope, receive, send)
            else:
                await _unauthorized(send)
        else:
            message = f"Unknown request URL: {scope['method']} {path}."
            await _refuse(scope, ApiError(404, "unknown_url", message), send)

    async def _serve_admin(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        resource = path.removeprefix(ADMIN).partition("/")[0]
        app = self._admin.get(resource)
        if app is not None:
            await self._guarded(app, scope, receive, send)
        elif _proves(scope, self._admin_tokens):
            known = ", ".join(sorted(self._admin))
            await _problem(send, 404, "not_found", f"there is no {path}; there are {known}")
        else:
            await _unauthorized(send)

    async def _guarded(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        if not _proves(scope, self._admin_tokens):
            await _unauthorized(send)
            return
        try:
            body = await read_body(headers_of(scope), scope, receive, MAX_ADMIN_BODY, self._body_timeout_s)
        except ApiError as error:
            await _problem(send, error.status, error.code, error.message, error.headers())
            return
        headers = [item for item in scope["headers"] if item[0] != _ACTOR]
        await app({**scope, "headers": [*headers, (_ACTOR, b"admin")]}, replayed(body, receive), send)


def _proves(scope: Scope, tokens: Sequence[str]) -> bool:
    """Whether a request carries one of the tokens, and that once."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    return len(given) == 1 and any(hmac.compare_digest(given[0], b"Bearer " + token.encode()) for token in tokens)


async def _unauthorized(send: Send) -> None:
    detail = "this route needs the admin token: Authorization: Bearer <admin token>"
    await _problem(send, 401, "unauthorized", detail, [(b"www-authenticate", b"Bearer")])


async def _problem(send: Send, status: int, code: str, detail: str, headers: Headers = ()) -> None:
    document = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code}
    await respond(send, status, msgspec.json.encode({**document, "detail": detail}), _PROBLEM, headers)


async def _refuse(scope: Scope, error: ApiError, send: Send) -> None:
    """Answer in the shape of the part that was asked."""
    path: str = scope["path"]
    if path.startswith(ADMIN):
        await _problem(send, error.status, error.code, error.message)
    else:
        body = face_of(path, scope["headers"]).error_body(error, "")
        await respond(send, error.status, body, _JSON, error.headers())
