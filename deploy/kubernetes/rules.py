"""Make the operator's PrometheusRule of the alert rules: `python -m deploy.kubernetes.rules`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

DEPLOY: Final = Path(__file__).parents[1]
SOURCE: Final = DEPLOY / "prometheus" / "alerts.yaml"
MADE: Final = DEPLOY / "kubernetes" / "components" / "monitoring" / "rules.yaml"


def rules() -> str:
    """The rules as the operator takes them."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "notary"},
        "spec": yaml.safe_load(SOURCE.read_text()),
    }
    head = "# Made from deploy/prometheus/alerts.yaml by deploy/kubernetes/rules.py. Change it there.\n"
    return head + yaml.safe_dump(made, sort_keys=False, width=1000)


if __name__ == "__main__":
    MADE.write_text(rules())
