"""The running server that most tests here ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .running import Running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One server for the tests of a module; each uses a repository of its own."""
    with Running() as running:
        yield running
