"""``GET /metrics``: what this service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, generate_latest

from shared.runtime.asgi import App, Receive, Scope, Send, respond


def metrics_app(registry: CollectorRegistry) -> App:
    """Return the application that answers with the registry's state."""

    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, generate_latest(registry), b"text/plain; version=0.0.4; charset=utf-8")

    return serve
