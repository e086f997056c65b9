"""One running token service for the tests that only ask it, and issuers of identity tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pki import Authority
from tests.support.token_service import TokenService

REGISTRY = "registry.example.org"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the module."""
    with tempfile.TemporaryDirectory(prefix="notary-tokens-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """Who vouches for the service."""
    return Authority(folder / "pki", "Test CA")


@pytest.fixture(scope="module")
def service(folder: Path, authority: Authority) -> Iterator[TokenService]:
    """The service, running. Bounds are such that tests with wrong passwords do not disturb each other."""
    limits = {
        "failures_per_user": 10,
        "failures_per_address": 500,
        "max_request_bytes": 8192,
        "request_timeout": 1,
    }
    changes = {"limits": limits, "server": {"trusted_proxies": ["127.0.0.1", "::1"]}}
    made = TokenService(folder / "tokens", authority, registry=REGISTRY, changes=changes)
    for name in ("alice", "bob", "carol", "dave"):
        made.user(name, f"{name}'s password")
    with made:
        yield made
