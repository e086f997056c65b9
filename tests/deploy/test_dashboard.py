"""The dashboard: every query is one that Prometheus takes, all its metrics are ours, and none of ours is forgotten."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.common.metrics_tables import TABLES, names

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/notary.json"
_METRIC = re.compile(r"notary_(?:server|signer|tokens)_[a-z_]+")


def _dashboard() -> dict[str, Any]:
    found = json.loads(DASHBOARD.read_text())
    assert isinstance(found, dict)
    return found


def _panels() -> list[dict[str, Any]]:
    found = [panel for panel in _dashboard()["panels"] if panel["type"] != "row"]
    assert len(found) > 20
    return found


def _queries() -> list[str]:
    """As Grafana sends them, with its variables filled in."""
    asked = [target["expr"] for panel in _panels() for target in panel["targets"]]
    return [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for query in asked]


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    """Its own tool parses them, as recording rules."""
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(_queries())]
    assert not any("$" in rule["expr"] for rule in rules)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_one_that_the_daemons_show() -> None:
    """A renamed metric would empty its panel without a word."""
    known = set().union(*(names(name) for name in TABLES))
    shown = json.dumps(_dashboard())
    assert set(_METRIC.findall(shown)) <= known


@pytest.mark.parametrize("name", TABLES)
def test_what_the_daemons_show_is_on_the_dashboard(name: str) -> None:
    """All but Notary's old summaries, which several processes cannot have, and what the health checks say."""
    left_out = re.compile(r"notary_server_http_(request|response)_(duration_microseconds|size_bytes)")
    asked = {
        re.sub("_(bucket|sum|count)$", "", metric)
        for query in _queries()
        for metric in _METRIC.findall(query)
    }
    shown = {re.sub("_(bucket|sum|count)$", "", metric) for metric in names(name)}
    missing = {metric for metric in shown - asked if left_out.match(metric) is None}
    assert missing <= {
        "notary_server_check_operational",
        "notary_server_keys_retired_total",
        "notary_signer_keys_created_total",
    }


def test_panels_ask_the_chosen_source_and_do_not_lie_on_each_other() -> None:
    """Whoever imports the file chooses the Prometheus; two panels in one place hide one."""
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        assert {panel["datasource"]["uid"]} | {one["datasource"]["uid"] for one in panel["targets"]} == {
            "${datasource}"
        }
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in _dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)
