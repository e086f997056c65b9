"""The alert rules: Prometheus takes them, each fires when it must, and each has its page for whoever is woken."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yaml"
CASES = ROOT / "deploy/prometheus/alerts.test.yaml"
RUNBOOK = ROOT / "docs/operations/alerts.md"
_METRIC = re.compile(r"notary_(?:server|signer|\(server\|signer\))_[a-z_]+")


def _rules() -> list[dict[str, Any]]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    return rules


def _promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules_and_they_fire_when_they_must() -> None:
    """By Prometheus's own tool, on the time series beside the rules."""
    _promtool("check", "rules", str(RULES))
    _promtool("test", "rules", str(CASES))


def test_every_rule_is_seen_to_fire() -> None:
    """A rule without a case in which it fires may be one that never does."""
    fired = {
        case["alertname"]
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in _rules()}


def test_every_alert_names_its_section_of_the_runbook() -> None:
    """And the runbook has no section of an alert that is gone."""
    headings = {
        line.removeprefix("## ") for line in RUNBOOK.read_text().splitlines() if line.startswith("## Notary")
    }
    assert headings == {rule["alert"] for rule in _rules()}
    for rule in _rules():
        assert rule["annotations"]["runbook"] == f"{RUNBOOK.relative_to(ROOT)}#{rule['alert'].lower()}"


def test_every_metric_of_the_rules_is_one_that_we_have() -> None:
    """A renamed metric would silence its alert."""
    sources = [ROOT / "notary_server/metrics.py", *(ROOT / "notary_signer").glob("*.py")]
    known = "\n".join(source.read_text() for source in sources)
    for rule in _rules():
        metrics = _METRIC.findall(rule["expr"])
        assert metrics, rule["alert"]
        for metric in metrics:
            for daemon in ("server", "signer") if "(" in metric else ("",):
                name = metric.replace("(server|signer)", daemon).removesuffix("_total")
                assert f'"{name}"' in known or f'"{name}_total"' in known, name
