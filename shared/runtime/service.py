"""What a service is to the process it lives in: an ASGI application, a life, and what keeps it from being ready."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry

from shared.runtime.asgi import App, Receive, Scope, Send, header, respond
from shared.runtime.metrics import Readiness


class Part(Protocol):
    """Something with a life: a fold, a prober, a consumer."""

    async def start(self) -> None:
        """Begin; returns when what follows may rely on it."""
        ...

    async def stop(self) -> None:
        """End, letting running work finish."""
        ...


@dataclass(kw_only=True)
class Service:
    """A service as its composition root made it."""

    name: str
    app: App
    """Everything it serves over HTTP, health and metrics included."""
    parts: Sequence[Part] = ()
    registry: CollectorRegistry | None = None
    """Its metrics; whether it is ready is added to them."""
    not_ready: Callable[[], list[str]] = field(default=list)
    """Why it cannot do its job now, in sentences; empty: ready."""
    _started: list[Part] = field(default_factory=list[Part], init=False, repr=False)

    def __post_init__(self) -> None:
        if self.registry is not None:
            self.registry.register(Readiness(self.name, self.not_ready))

    async def start(self) -> None:
        """Start the parts in order."""
        for part in self.parts:
            self._started.append(part)
            await part.start()

    async def stop(self) -> None:
        """Stop what was started, in reverse order; every part gets its turn."""
        failures: list[Exception] = []
        while self._started:
            try:
                await self._started.pop().stop()
            except Exception as error:  # noqa: BLE001  one part's failure must not keep another from its end
                failures.append(error)
        if failures:
            raise ExceptionGroup(f"stopping {self.name}", failures)


_JSON: Final = b"application/json"


class InternalApp:
    """The ASGI application of an internal service: health for all, the rest for holders of the service token."""

    def __init__(
        self,
        routes: dict[str, App],
        *,
        token: str | None,
        not_ready: Callable[[], list[str]],
    ) -> None:
        """``routes``: applications by path prefix, longest first wins; ``token`` None: in-process, nothing to check."""
        self._routes = sorted(routes.items(), key=lambda item: -len(item[0]))
        self._token = None if token is None else b"Bearer " + token.encode()
        self._not_ready = not_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == "/healthz":
            await respond(send, 200, b'{"status":"alive"}', _JSON)
        elif not self._authorized(scope):
            body = b'{"title":"Unauthorized","status":401,"detail":"this route needs the service token"}'
            await respond(send, 401, body, b"application/problem+json")
        elif path == "/readyz":
            await respond_ready(send, self._not_ready())
        else:
            await self._dispatch(path, scope, receive, send)

    async def _dispatch(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        for prefix, app in self._routes:
            if path.startswith(prefix):
                await app(scope, receive, send)
                return
        body = msgspec.json.encode({"title": "Not Found", "status": 404, "detail": f"no route {path}"})
        await respond(send, 404, body, b"application/problem+json")

    def _authorized(self, scope: Scope) -> bool:
        if self._token is None:
            return True
        return hmac.compare_digest(header(scope, b"authorization") or b"", self._token)


async def respond_ready(send: Send, reasons: list[str]) -> None:
    """Answer ``/readyz``: 200 when nothing is in the way, else 503 and why."""
    status = 503 if reasons else 200
    body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
    await respond(send, status, msgspec.json.encode(body), _JSON)
