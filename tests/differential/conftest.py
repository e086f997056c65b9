"""Both servers, started once for the whole suite; each variant's server starts when a case first asks for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.reference import Reference

from .arena import Arena
from .servers import OldServers, OurServers


@pytest.fixture(scope="session")
def reference() -> Iterator[Reference]:
    """The old server's signer and database."""
    with tempfile.TemporaryDirectory(prefix="notary-reference-") as folder:
        made = Reference(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def old(reference: Reference) -> OldServers:
    """The old server under every variant."""
    return OldServers(reference)


@pytest.fixture(scope="session")
def ours(reference: Reference) -> Iterator[OurServers]:
    """Our server under every variant, over the same PostgreSQL as the old one's."""
    with tempfile.TemporaryDirectory(prefix="notary-ours-") as folder:
        made = OurServers(Path(folder), reference.postgres)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def arena(old: OldServers, ours: OurServers) -> Arena:
    """Both."""
    return Arena({"old": old.client, "ours": ours.client})
