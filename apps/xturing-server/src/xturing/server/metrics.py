"""Numbers for Prometheus, of one server."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from xturing.models.inference.engine import Engine

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram's bins."""


class Metrics:
    """What a server has done, and what it is doing."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "xturing_requests",
            "Requests that were replied to; 499: the client left first.",
            ["route", "status"],
            registry=self._registry,
        )
        self._tokens = Counter(
            "xturing_tokens",
            "Tokens of prompts, and of answers.",
            ["kind"],
            registry=self._registry,
        )
        self.first_token_seconds = Histogram(
            "xturing_first_token_seconds",
            "Seconds from a request to the first token of its answer.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._gauge("running", "Requests that are being answered.", engine)
        self._gauge("waiting", "Requests that wait for their turn.", engine)

    def count_request(self, route: str, status: int) -> None:
        """Count a reply."""
        self._requests.labels(route, str(status)).inc()

    def count_tokens(self, prompt: int, answer: int) -> None:
        """Count what was read and written."""
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("answer").inc(answer)

    def text(self) -> bytes:
        """Return all numbers in Prometheus's text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str, engine: Engine) -> None:
        gauge = Gauge(f"xturing_{name}", meaning, registry=self._registry)
        gauge.set_function(lambda: getattr(engine.load(), name))
