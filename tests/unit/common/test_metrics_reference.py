"""docs/reference/metrics.md says what the code says."""

from __future__ import annotations

import pytest

from .metrics_tables import REFERENCE, TABLES, documented, table


@pytest.mark.parametrize("name", TABLES)
def test_the_reference_lists_every_metric_as_the_code_has_it(name: str) -> None:
    """Name, kind, labels and meaning; refresh with `python -m tests.unit.common.metrics_tables`."""
    assert documented(name, REFERENCE.read_text()) == table(name)
