"""docs/reference/configuration.md says what the code says."""

from __future__ import annotations

import re

import pytest

from notary_common.config import leaves

from .configuration_tables import REFERENCE, TABLES, documented, table

NOTARYS_SERVER_KEYS = [
    "server.http_addr",
    "server.tls_cert_file",
    "server.tls_key_file",
    "server.client_ca_file",
    "trust_service.type",
    "trust_service.hostname",
    "trust_service.port",
    "trust_service.key_algorithm",
    "trust_service.tls_ca_file",
    "trust_service.tls_client_cert",
    "trust_service.tls_client_key",
    "storage.backend",
    "storage.db_url",
    "auth.type",
    "auth.options.realm",
    "auth.options.issuer",
    "auth.options.service",
    "auth.options.rootcertbundle",
    "auth.options.autoredirect",
    "caching.max_age.current_metadata",
    "caching.max_age.consistent_metadata",
    "repositories.gun_prefixes",
    "logging.level",
    "reporting.bugsnag.api_key",
    "reporting.bugsnag.release_stage",
    "reporting.bugsnag.endpoint",
]
NOTARYS_SIGNER_KEYS = [
    "server.grpc_addr",
    "server.http_addr",
    "server.tls_cert_file",
    "server.tls_key_file",
    "server.client_ca_file",
    "storage.backend",
    "storage.db_url",
    "storage.default_alias",
    "logging.level",
    "reporting.bugsnag.api_key",
    "reporting.bugsnag.release_stage",
    "reporting.bugsnag.endpoint",
]


@pytest.mark.parametrize("name", TABLES)
def test_the_reference_lists_every_key_as_the_code_has_it(name: str) -> None:
    """Key, default, variable and meaning; refresh with `python -m tests.unit.common.configuration_tables`."""
    assert documented(name, REFERENCE.read_text()) == table(name)


@pytest.mark.parametrize(("name", "keys"), [("server", NOTARYS_SERVER_KEYS), ("signer", NOTARYS_SIGNER_KEYS)])
def test_every_key_of_notary_is_known(name: str, keys: list[str]) -> None:
    """No file written for Notary meets an unknown key."""
    model, _ = TABLES[name]
    assert set(keys) <= {leaf.key for leaf in leaves(model)}


@pytest.mark.parametrize("name", TABLES)
def test_every_bounded_value_names_its_bounds(name: str) -> None:
    """A limit's description says what may be written."""
    model, _ = TABLES[name]
    for leaf in leaves(model):
        assert leaf.info.description
        if leaf.key.startswith("limits."):
            assert re.search(r"\d+ to \d+", leaf.info.description), leaf.key


@pytest.mark.parametrize("name", TABLES)
def test_every_limit_is_used(name: str) -> None:
    """No limit is only decoration: the composition root hands each one on."""
    room = REFERENCE.parents[2] / {"token service": "notary_server/tokens"}.get(name, f"notary_{name}")
    app = "".join(path.read_text() for path in (room / "app.py", *room.glob("commands/*.py")))
    model, _ = TABLES[name]
    for leaf in leaves(model):
        if leaf.key.startswith("limits.") or leaf.key.startswith("storage.pool"):
            assert leaf.key.rpartition(".")[2] in app, leaf.key


def test_no_two_keys_share_a_variable() -> None:
    """The environment is unambiguous."""
    for model, prefix in TABLES.values():
        variables = [leaf.variable(prefix) for leaf in leaves(model)]
        assert len(variables) == len(set(variables))
