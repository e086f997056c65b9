"""What the signer counts, in the Prometheus text format. Labels are closed lists: no client, repository or key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

Outcome = Literal["done", "refused", "failed"]

OPERATIONS: Final = frozenset(
    {"create_key", "describe_keys", "get_key", "sign", "retire_key", "health", "metrics"}
)
"""Label values; whatever else was asked for is `other`."""
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A signature takes 2 ms, with a synchronous record 5; servers give up after 10 s."""


class Metrics:
    """One process's metrics, for its event loop."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "notary_signer_requests",
            "Requests by operation and outcome.",
            ("operation", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "notary_signer_request_seconds",
            "Seconds from the head of a request to its answer.",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._refusals = Counter(
            "notary_signer_refusals",
            "Requests that were refused, by the error's code.",
            ("code",),
            registry=registry,
        )
        self._failures = Counter(
            "notary_signer_failures",
            "Requests that failed, by the part that did not work.",
            ("part",),
            registry=registry,
        )
        self._created = Counter("notary_signer_keys_created", "New keys.", registry=registry)
        self._token_calls = Counter(
            "notary_signer_token_operations",
            "Calls of the token by operation and outcome: done, fault, or unavailable.",
            ("operation", "outcome"),
            registry=registry,
        )
        self._token_seconds = Histogram(
            "notary_signer_token_seconds",
            "Seconds until the token answered or was given up, waiting for its turn included.",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )

    def request(self, operation: object, outcome: Outcome, seconds: float) -> None:
        """Count one answered request."""
        name = operation if isinstance(operation, str) and operation in OPERATIONS else "other"
        self._requests.labels(name, outcome).inc()
        self._seconds.labels(name).observe(seconds)

    def refusal(self, code: str) -> None:
        """Count one refusal; `code` is an error code of the wire."""
        self._refusals.labels(code).inc()

    def failure(self, part: str) -> None:
        """Count one failure of `token`, `registry`, `audit` or `signer`."""
        self._failures.labels(part).inc()

    def token_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call of the token. `operation` is one of `token.messages`, by its tag."""
        self._token_calls.labels(operation, outcome).inc()
        self._token_seconds.labels(operation).observe(seconds)

    def key_created(self) -> None:
        """Count one new key."""
        self._created.inc()

    def watch(
        self, kind: Literal["counter", "gauge"], name: str, about: str, read: Callable[[], float]
    ) -> None:
        """Show a number that another part keeps; it is asked for at each exposition."""
        self._registry.register(_Watched(kind, name, about, read))

    def watch_state(self, name: str, about: str, states: Sequence[str], read: Callable[[], str]) -> None:
        """Show which of `states` another part is in: 1 for that one, 0 for the others."""
        self._registry.register(_WatchedState(name, about, states, read))

    def watch_each(self, name: str, about: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Show numbers that another part keeps, by the value of one label."""
        self._registry.register(_WatchedEach(name, about, label, read))

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)


class _WatchedEach(Collector):
    """Several numbers of another part."""

    def __init__(self, name: str, about: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._family = (name, about, label)
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The samples, as the registry asks for them."""
        name, about, label = self._family
        family = GaugeMetricFamily(name, about, labels=(label,))
        for value, number in self._read().items():
            family.add_metric((value,), number)
        yield family


class _Watched(Collector):
    """One number of another part."""

    def __init__(
        self, kind: Literal["counter", "gauge"], name: str, about: str, read: Callable[[], float]
    ) -> None:
        self._kind = kind
        self._name = name
        self._about = about
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The sample, as the registry asks for it."""
        family = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        yield family(self._name, self._about, value=self._read())


class _WatchedState(Collector):
    """The state of another part."""

    def __init__(self, name: str, about: str, states: Sequence[str], read: Callable[[], str]) -> None:
        self._name = name
        self._about = about
        self._states = states
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """One sample for each state."""
        family = GaugeMetricFamily(self._name, self._about, labels=["state"])
        now = self._read()
        for state in self._states:
            family.add_metric([state], float(state == now))
        yield family
