"""``/metrics``: what the registries hold, in Prometheus's text form."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.runtime.asgi import App, Receive, Scope, Send, respond


def metrics_app(*registries: CollectorRegistry) -> App:
    """Return the application that shows ``registries``, whose metric names must be disjoint."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        body = b"".join(generate_latest(registry) for registry in registries)
        await respond(send, 200, body, CONTENT_TYPE_LATEST.encode())

    return app
