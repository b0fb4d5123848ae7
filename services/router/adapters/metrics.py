"""What the router measures of itself, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.runtime.asgi import Receive, Scope, Send, respond


class Metrics:
    """Counters of the compiler, and the ASGI application that shows them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.published = Counter("localrouter_plans_published_total", "Plans published", registry=self._registry)
        self.compile_seconds = Histogram(
            "localrouter_plan_compile_seconds",
            "Time to compile one plan",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
            registry=self._registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the exposition format of Prometheus."""
        await respond(send, 200, generate_latest(self._registry), b"text/plain; version=0.0.4; charset=utf-8")
