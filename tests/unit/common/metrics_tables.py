"""The tables of docs/reference/metrics.md, made from what the code shows: `python -m tests.unit.common.metrics_tables`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from notary_server.metrics import Metrics as ServerMetrics
from notary_server.tokens.metrics import Metrics as TokensMetrics
from notary_signer import app as signer_app
from notary_signer.metrics import Metrics as SignerMetrics

from .marked import between, replaced

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
TABLES: Final = ("server", "signer", "token service")
_SHOWN: Final = {"counter": "_total", "gauge": "", "histogram": "", "summary": ""}
_PRIVATE: Final = frozenset({"le", "quantile"})
"""Labels that a histogram or summary has by itself."""
_NOTHING: Any = SimpleNamespace(
    state="ready",
    sessions=0,
    handles=0,
    load=0,
    written=0,
    failures=0,
    use=SimpleNamespace(in_use=0, limit=0, waits=0),
    expiries=lambda: {"listener": 0.0},
    failed=lambda: {"listener": 0.0},
)
"""Stands for every part of the signer that is watched: only the names of its numbers are of interest."""


def registry(name: str) -> CollectorRegistry:
    """All that one daemon shows."""
    metrics: Any
    if name == "server":
        metrics = ServerMetrics()
        metrics.request("GetRole", "GET", 200, seconds=0.0, request_bytes=0, response_bytes=0)
    elif name == "signer":
        metrics = SignerMetrics()
        for watch in (
            signer_app.watch_audit,
            signer_app.watch_token,
            signer_app.watch_database,
            signer_app.watch_certificates,
        ):
            watch(metrics, _NOTHING)
    else:
        metrics = TokensMetrics()
    found: CollectorRegistry = metrics._registry
    return found


def names(name: str) -> set[str]:
    """The names that a daemon's metrics are asked for by, those of a histogram's and summary's parts among them."""
    found: set[str] = set()
    for family in _families(name):
        shown = family.name + _SHOWN[family.type]
        found.add(shown)
        if family.type in {"histogram", "summary"}:
            found |= {shown + part for part in ("_sum", "_count")}
        if family.type == "histogram":
            found.add(shown + "_bucket")
    return found


def table(name: str) -> str:
    """The Markdown table of one daemon's metrics."""
    rows = sorted(_row(name, family) for family in _families(name))
    return "\n".join(["| Metric | Type | Labels | What it is |", "|---|---|---|---|", *rows])


def documented(name: str, text: str) -> str:
    """The table that stands between the markers of `name` in `text`."""
    return between(f"metrics of the {name}", text)


def refreshed(text: str) -> str:
    """`text` with all tables as the code has them."""
    return replaced(
        text,
        [f"metrics of the {name}" for name in TABLES],
        lambda part: table(part.removeprefix("metrics of the ")),
    )


def _families(name: str) -> list[Metric]:
    return [family for family in registry(name).collect() if family.name.startswith("notary_")]


def _row(name: str, family: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in _labels(name, family))
    return f"| `{family.name}{_SHOWN[family.type]}` | {family.type} | {labels} | {family.documentation} |"


def _labels(name: str, family: Metric) -> list[str]:
    collectors: dict[str, Any] = registry(name)._names_to_collectors
    made = getattr(collectors.get(family.name), "_labelnames", None)
    if made is not None:
        return list(made)
    return sorted({label for sample in family.samples for label in sample.labels} - _PRIVATE)


if __name__ == "__main__":
    REFERENCE.write_text(refreshed(REFERENCE.read_text()))
