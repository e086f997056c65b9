"""What the token service counts. Labels are closed lists: no user, address or repository."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest


class Metrics:
    """One process's metrics, for its event loop."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._issued = Counter(
            "notary_tokens_issued",
            "Tokens given out, by who asked: user, robot, workload or anonymous.",
            ("kind",),
            registry=registry,
        )
        self._refused = Counter(
            "notary_tokens_refused",
            "Requests that got no token, by error: of RFC 6749 (5.2), slow_down, temporarily_unavailable.",
            ("error",),
            registry=registry,
        )
        self._defects = Counter(
            "notary_tokens_unexpected_errors",
            "Requests answered 500: defects of the service, which its log describes.",
            registry=registry,
        )

    def issued(self, kind: str) -> None:
        """Count one token. `kind` as in `people.Caller`."""
        self._issued.labels(kind).inc()

    def refused(self, error: str) -> None:
        """Count one refusal. `error` is the `oauth` of a `TokenRefused`."""
        self._refused.labels(error).inc()

    def defect(self) -> None:
        """Count one answer 500."""
        self._defects.inc()

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)
