"""What the router measures of itself, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """Counters of the compiler."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.published = Counter("localrouter_plans_published", "Plans published.", registry=self.registry)
        self.compile_seconds = Histogram(
            "localrouter_plan_compile_seconds",
            "Time to compile one plan.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
            registry=self.registry,
        )
