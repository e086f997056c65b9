"""What the server counts, under the names that dashboards for Notary already ask for."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from .part_metrics import PartMetrics

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
"""The latest requests that quantiles are taken over, per operation."""

_REQUESTS: Final = "notary_server_http_requests_total"
_REQUESTS_HELP: Final = "Total number of HTTP requests made."
_SUMMARIES: Final = (
    ("notary_server_http_request_duration_microseconds", "The HTTP request latencies in microseconds."),
    ("notary_server_http_request_size_bytes", "The HTTP request sizes in bytes."),
    ("notary_server_http_response_size_bytes", "The HTTP response sizes in bytes."),
)
"""In the order of an `_Observation`."""
_SECONDS: Final = "notary_server_http_request_seconds"
_SECONDS_HELP: Final = "Time from the end of a request's header to its answer."
_SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A read takes a millisecond or less, a publish some ten; clients give up after five seconds or more."""
_LE: Final = (*(str(bound) for bound in _SECONDS_BUCKETS), "+Inf")
"""The buckets as Prometheus writes them."""
_CHECK: Final = "notary_server_check_operational"
_CHECK_HELP: Final = "Whether the last health check succeeded."
_RENEWALS: Final = "notary_server_renewals"
_RENEWALS_HELP: Final = "Repositories whose timestamp was, or could not be, renewed ahead of time."
_OVERDUE: Final = "notary_server_renewals_overdue"
_OVERDUE_HELP: Final = "Repositories whose timestamp should have been renewed by now, by what is in the way."

_NOT_AFTER: Final = "notary_server_certificate_not_after_seconds"
_NOT_AFTER_HELP: Final = "When the certificate in use expires, in seconds since 1970, by what it is used for."
_RELOAD: Final = "notary_server_certificate_reload_failed"
_RELOAD_HELP: Final = "Whether new certificates were there and could not be taken, by what they are used for."
_RETIRED: Final = "notary_server_keys_retired"
_RETIRED_HELP: Final = "Keys that no root lists any more, by what became of them at the signer."

_REFUSED: Final = "notary_server_access_refusals"
_REFUSED_HELP: Final = "Requests that were answered 401, by reason; no-token is what every client asks first."

_EXPIRING: Final = "notary_server_expiring"
_EXPIRING_HELP: Final = (
    "Repositories of which something ends within a time, or has ended: by what, and within what."
)
_EXPIRY_SCAN: Final = "notary_server_expiry_scan_timestamp_seconds"
_EXPIRY_SCAN_HELP: Final = (
    "When all repositories were last looked at for what ends, in seconds since 1970; 0: never."
)

_WEBHOOKS: Final = "notary_server_webhook_deliveries"
_WEBHOOKS_HELP: Final = "Deliveries by webhook and outcome: delivered, failed (tried again), dead (given up)."
_BEHIND: Final = "notary_server_webhook_behind_seconds"
_BEHIND_HELP: Final = "Age of the change that a webhook does not take; 0: it is up to date."

_SIGNER_BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A signature takes some milliseconds with SoftHSM; a network HSM a tenth of a second; the rest is trouble."""

OVERDUE_REASONS: Final = ("signer", "impossible")
"""The signer cannot be asked; or it holds no keys, refuses, or the stored metadata does not allow a renewal."""

_Observation = tuple[float, int, int]
"""Microseconds, bytes of the request, bytes of the answer."""


@dataclass(slots=True)
class _Tally:
    """The requests of one operation, method and status. Plain numbers, because every request passes here."""

    recent: deque[_Observation]
    buckets: list[int] = field(default_factory=lambda: [0] * len(_LE))
    requests: int = 0
    microseconds: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0

    @property
    def sums(self) -> _Observation:
        return self.microseconds, self.request_bytes, self.response_bytes


class Metrics:
    """One process's metrics. For its event loop only: nothing here is locked."""

    def __init__(self, *, window: int = _WINDOW) -> None:
        """`window`: the latest requests of each operation that are kept for quantiles."""
        self._tallies: dict[tuple[str, str, int], _Tally] = {}
        self._recent: defaultdict[str, deque[_Observation]] = defaultdict(lambda: deque(maxlen=window))
        self._registry = CollectorRegistry()
        registry = self._register()
        self._check = Gauge(_CHECK, _CHECK_HELP, ("check",), registry=registry, multiprocess_mode="livemin")
        self._renewals = Counter(_RENEWALS, _RENEWALS_HELP, ("outcome",), registry=registry)
        self._overdue = Gauge(
            _OVERDUE, _OVERDUE_HELP, ("reason",), registry=registry, multiprocess_mode="livemax"
        )
        self._not_after = Gauge(
            _NOT_AFTER, _NOT_AFTER_HELP, ("use",), registry=registry, multiprocess_mode="livemin"
        )
        self._reload = Gauge(_RELOAD, _RELOAD_HELP, ("use",), registry=registry, multiprocess_mode="livemax")
        self._retired = Counter(_RETIRED, _RETIRED_HELP, ("outcome",), registry=registry)
        self._refused = Counter(_REFUSED, _REFUSED_HELP, ("reason",), registry=registry)
        # All processes read the same table; the latest look of any of them counts for all.
        self._expiring = Gauge(
            _EXPIRING,
            _EXPIRING_HELP,
            ("kind", "within"),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._expiry_scan = Gauge(
            _EXPIRY_SCAN, _EXPIRY_SCAN_HELP, registry=registry, multiprocess_mode="livemax"
        )
        self._webhooks = Counter(_WEBHOOKS, _WEBHOOKS_HELP, ("webhook", "outcome"), registry=registry)
        self._behind = Gauge(
            _BEHIND, _BEHIND_HELP, ("webhook",), registry=registry, multiprocess_mode="livemax"
        )
        self.signers = SignerMetrics(registry)
        self.parts = PartMetrics(registry)

    def _register(self) -> CollectorRegistry | None:
        """Say what `exposition` shows; where to register what counts by itself, if anywhere."""
        ProcessCollector(registry=self._registry)
        self._registry.register(_Requests(self._tallies, self._recent))
        return self._registry

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
        """Count one answered request. `operation` is one of `OPERATIONS`."""
        tally = self._tallies.get((operation, method, code))
        if tally is None:
            tally = self._tallies[operation, method, code] = _Tally(self._recent[operation])
        microseconds = seconds * 1e6
        tally.requests += 1
        tally.buckets[bisect_left(_SECONDS_BUCKETS, seconds)] += 1
        tally.microseconds += microseconds
        tally.request_bytes += request_bytes
        tally.response_bytes += response_bytes
        tally.recent.append((microseconds, request_bytes, response_bytes))

    def check(self, name: str, *, operational: bool) -> None:
        """Remember the outcome of a health check."""
        self._check.labels(name).set(operational)

    def renewal(self, outcome: str) -> None:
        """Count one renewal ahead of time. `outcome` is `renewed` or `failed`."""
        self._renewals.labels(outcome).inc()

    def overdue(self, reason: str, number: int) -> None:
        """Remember what the last sweep found. `reason` is one of `OVERDUE_REASONS`."""
        self._overdue.labels(reason).set(number)

    def certificate(self, use: str, not_after: float) -> None:
        """Remember when a certificate in use expires, in seconds since 1970."""
        self._not_after.labels(use).set(not_after)

    def certificate_reload(self, use: str, *, failed: bool) -> None:
        """Remember whether the last attempt to take new certificates failed."""
        self._reload.labels(use).set(failed)

    def retirement(self, outcome: str) -> None:
        """Count one key that was to be retired. `outcome` is `retired`, `unknown` or `failed`."""
        self._retired.labels(outcome).inc()

    def expiring(self, kind: str, within: str, number: int) -> None:
        """Remember how many repositories have something of `kind` that ends within `within` (`expiry.scanner.WITHIN`)."""
        self._expiring.labels(kind, within).set(number)

    def expiry_scan(self, finished: float) -> None:
        """Remember when the last scan ended, in seconds since 1970-01-01T00:00:00Z."""
        self._expiry_scan.set(finished)

    def webhook_delivery(self, webhook: str, outcome: str) -> None:
        """Count one delivery. `outcome` is `delivered`, `failed` or `dead`."""
        self._webhooks.labels(webhook, outcome).inc()

    def webhook_behind(self, webhook: str, seconds: float) -> None:
        """Remember how old the change is that the webhook does not take."""
        self._behind.labels(webhook).set(seconds)

    def access_refusal(self, reason: str) -> None:
        """Count one request that was refused for want of a fitting token; `reason` is one of a closed set."""
        self._refused.labels(reason).inc()

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format, version 0.0.4."""
        self.parts.take_over()
        return generate_latest(self._registry)


class SignerMetrics:
    """What one process sees of each signer of its list; part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._seconds = Histogram(
            "notary_server_signer_seconds",
            "Time until a signer answered or was given up.",
            ("signer", "operation"),
            buckets=_SIGNER_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "notary_server_signer_failures",
            "Calls that a signer did not answer or failed at, by kind.",
            ("signer", "kind"),
            registry=registry,
        )
        self._failovers = Counter(
            "notary_server_signer_failovers",
            "Calls that went on to the next signer after this one.",
            ("signer",),
            registry=registry,
        )
        self._open = Gauge(
            "notary_server_signer_circuit_open",
            "1 while a signer is asked only if no other can be.",
            ("signer",),
            registry=registry,
            multiprocess_mode="livemax",
        )

    def call(self, signer: str, operation: str, seconds: float) -> None:
        """Count one call. `operation` is `create`, `describe`, `sign`, `retire` or `health`."""
        self._seconds.labels(signer, operation).observe(seconds)

    def failure(self, signer: str, kind: str) -> None:
        """Count one failure. `kind` is `connection`, `tls`, `timeout`, `not_ready` or `fault`."""
        self._failures.labels(signer, kind).inc()

    def failover(self, signer: str) -> None:
        """Count one call that the next signer is asked, as this one gave no answer."""
        self._failovers.labels(signer).inc()

    def circuit(self, signer: str, *, is_open: bool) -> None:
        """Remember whether the signer is left out."""
        self._open.labels(signer).set(is_open)


class _Requests(Collector):
    """The tallies of one process, with quantiles over the latest requests."""

    def __init__(
        self, tallies: dict[tuple[str, str, int], _Tally], recent: defaultdict[str, deque[_Observation]]
    ) -> None:
        self._tallies = tallies
        self._recent = recent

    def collect(self) -> Iterator[Metric]:
        """The samples, as the registry asks for them."""
        requests = Metric(_REQUESTS.removesuffix("_total"), _REQUESTS_HELP, "counter")
        for (operation, method, code), tally in self._tallies.items():
            requests.add_sample(_REQUESTS, _labels(operation, method, code), tally.requests)
        yield requests
        for place, (name, documentation) in enumerate(_SUMMARIES):
            yield self._summary(place, name, documentation)
        yield self._histogram()

    def _histogram(self) -> Metric:
        histogram = Metric(_SECONDS, _SECONDS_HELP, "histogram")
        for operation in OPERATIONS:
            labels = {"operation": operation}
            tallies = [tally for key, tally in self._tallies.items() if key[0] == operation]
            total = 0
            for place, bound in enumerate(_LE):
                total += sum(tally.buckets[place] for tally in tallies)
                histogram.add_sample(_SECONDS + "_bucket", {**labels, "le": bound}, total)
            histogram.add_sample(_SECONDS + "_count", labels, total)
            seconds = sum(tally.microseconds for tally in tallies) / 1e6
            histogram.add_sample(_SECONDS + "_sum", labels, seconds)
        return histogram

    def _summary(self, place: int, name: str, documentation: str) -> Metric:
        summary = Metric(name, documentation, "summary")
        for operation in OPERATIONS:
            labels = {"operation": operation}
            recent = sorted(observation[place] for observation in self._recent[operation])
            for quantile in _QUANTILES:
                value = recent[int(quantile * (len(recent) - 1))] if recent else float("nan")
                summary.add_sample(name, {**labels, "quantile": str(quantile)}, value)
            tallies = [tally for key, tally in self._tallies.items() if key[0] == operation]
            summary.add_sample(name + "_sum", labels, sum(tally.sums[place] for tally in tallies))
            summary.add_sample(name + "_count", labels, sum(tally.requests for tally in tallies))
        return summary


class SharedMetrics(Metrics):
    """One worker's part of the metrics of several; `exposition` shows them all as one server.

    Quantiles of several processes cannot be put together and are left out, as is what belongs to one process.
    """

    def __init__(self, directory: Path, slot: int) -> None:
        """To be made once in a process, and before it makes any other metric.

        Args:
            directory: where all workers keep their parts.
            slot: this worker's own among those that live; its successor goes on with the counters in it.
        """
        self._directory = directory
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        # By slot and not by process: files of the dead would become more with every reload.
        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        super().__init__(window=0)
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._totals = {
            operation: [
                (
                    self._cell("summary", name, "_count", documentation, operation=operation),
                    self._cell("summary", name, "_sum", documentation, operation=operation),
                )
                for name, documentation in _SUMMARIES
            ]
            for operation in OPERATIONS
        }
        self._buckets = {
            operation: [
                self._cell("histogram", _SECONDS, "_bucket", _SECONDS_HELP, operation=operation, le=bound)
                for bound in _LE
            ]
            for operation in OPERATIONS
        }
        self._seconds = {
            operation: self._cell("histogram", _SECONDS, "_sum", _SECONDS_HELP, operation=operation)
            for operation in OPERATIONS
        }

    def _register(self) -> CollectorRegistry | None:
        MultiProcessCollector(self._registry, str(self._directory))  # type: ignore[no-untyped-call]
        return None

    def flush(self) -> None:
        """Put what was counted since the last time where the other workers see it."""
        self.parts.take_over()
        for (operation, method, code), tally in self._tallies.items():
            if not tally.requests:
                continue
            counter = self._counters.get((operation, method, code))
            if counter is None:
                name, labels = _REQUESTS.removesuffix("_total"), _labels(operation, method, code)
                counter = self._cell("counter", name, "_total", _REQUESTS_HELP, **labels)
                self._counters[operation, method, code] = counter
            counter.inc(tally.requests)
            for (count, total), amount in zip(self._totals[operation], tally.sums, strict=True):
                count.inc(tally.requests)
                total.inc(amount)
            self._seconds[operation].inc(tally.microseconds / 1e6)
            for place, (bucket, number) in enumerate(
                zip(self._buckets[operation], tally.buckets, strict=True)
            ):
                if number:
                    bucket.inc(number)
                    tally.buckets[place] = 0
            tally.requests = tally.request_bytes = tally.response_bytes = 0
            tally.microseconds = 0.0

    def exposition(self) -> bytes:
        """All metrics of all workers; what the others counted in the last second may be missing."""
        self.flush()
        return super().exposition()

    @staticmethod
    def _cell(kind: str, name: str, suffix: str, documentation: str, **labels: str) -> Any:
        """A number in this worker's file. The metric classes themselves can only count one by one."""
        return values.ValueClass(
            kind, name, name + suffix, tuple(labels), tuple(labels.values()), documentation
        )


def forget_worker(directory: Path, slot: int) -> None:
    """Remove what held only while the worker in `slot` lived. Its counters stay: they must never go down."""
    mark_process_dead(slot, str(directory))  # type: ignore[no-untyped-call]


def _labels(operation: str, method: str, code: int) -> dict[str, str]:
    return {"code": str(code), "method": method.lower(), "operation": operation}
