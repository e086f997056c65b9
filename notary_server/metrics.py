"""What the server counts, under the names that dashboards for Notary already ask for."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

OPERATIONS: Final = (
    "UpdateTUF",
    "GetRole",
    "GetRoleByHash",
    "GetRoleByVersion",
    "GetKey",
    "RotateKey",
    "DeleteTUF",
    "Changefeed",
)
_QUANTILES: Final = (0.5, 0.9, 0.99)
_WINDOW: Final = 1024
"""The latest observations that quantiles are taken over, per operation."""


class Summary(Collector):
    """Count, sum and recent quantiles of one quantity, per operation."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._count: defaultdict[str, int] = defaultdict(int)
        self._sum: defaultdict[str, float] = defaultdict(float)
        self._recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        # Scrapes may come from another thread than the requests.
        self._lock = Lock()

    def observe(self, operation: str, value: float) -> None:
        """Take one observation into account."""
        with self._lock:
            self._count[operation] += 1
            self._sum[operation] += value
            self._recent[operation].append(value)

    def collect(self) -> Iterator[Metric]:
        """The samples, as the registry asks for them."""
        metric = Metric(self._name, self._documentation, "summary")
        with self._lock:
            for operation in OPERATIONS:
                labels = {"operation": operation}
                recent = sorted(self._recent[operation])
                for quantile in _QUANTILES:
                    value = recent[int(quantile * (len(recent) - 1))] if recent else float("nan")
                    metric.add_sample(self._name, {**labels, "quantile": str(quantile)}, value)
                metric.add_sample(self._name + "_sum", labels, self._sum[operation])
                metric.add_sample(self._name + "_count", labels, self._count[operation])
        yield metric


class Metrics:
    """One process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        prefix = "notary_server_http"
        self._requests = Counter(
            f"{prefix}_requests_total",
            "Total number of HTTP requests made.",
            ("code", "method", "operation"),
            registry=self._registry,
        )
        self._duration = Summary(
            f"{prefix}_request_duration_microseconds", "The HTTP request latencies in microseconds."
        )
        self._request_size = Summary(f"{prefix}_request_size_bytes", "The HTTP request sizes in bytes.")
        self._response_size = Summary(f"{prefix}_response_size_bytes", "The HTTP response sizes in bytes.")
        for summary in (self._duration, self._request_size, self._response_size):
            self._registry.register(summary)
        self._check = Gauge(
            "notary_server_check_operational",
            "Whether the last health check succeeded.",
            ("check",),
            registry=self._registry,
        )

    def request(
        self,
        operation: str,
        method: str,
        code: int,
        *,
        seconds: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Count one answered request."""
        self._requests.labels(str(code), method.lower(), operation).inc()
        self._duration.observe(operation, seconds * 1e6)
        self._request_size.observe(operation, request_bytes)
        self._response_size.observe(operation, response_bytes)

    def check(self, name: str, *, operational: bool) -> None:
        """Remember the outcome of a health check."""
        self._check.labels(name).set(operational)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)
