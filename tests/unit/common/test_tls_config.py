"""The configuration of TLS: where certificates come from, who must show one, and which proxies are believed."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from deploy.local.files import overlay
from notary_common.config import ConfigError
from notary_server.config import ServerConfig
from notary_server.config import load as load_server
from notary_signer.cli import _access_warnings
from notary_signer.config import load as load_signer

FILES = {"tls_cert_file": "file", "tls_key_file": "file"}
SERVER: dict[str, Any] = {
    "server": {"http_addr": ":4443"},
    "trust_service": {"type": "remote", "hostname": "signer", "port": 7899, "key_algorithm": "ecdsa"},
    "storage": {"backend": "memory"},
}
SIGNER: dict[str, Any] = {
    "server": {"http_addr": ":7899", **FILES, "client_ca_file": "file"},
    "storage": {"backend": "memory"},
    "pkcs11": {"pin_file": "file", "module": "file"},
}
NO_FILES = dict.fromkeys((*FILES, "client_ca_file"))
SPIFFE = {"tls_source": "spiffe", "spiffe_socket": "/run/spire.sock"}


def _write(folder: Path, document: dict[str, Any], changes: dict[str, Any]) -> Path:
    (folder / "file").touch(0o600)
    path = folder / "config.json"
    path.write_text(json.dumps(overlay(document, changes)))
    return path


def _server(folder: Path, **changes: Any) -> ServerConfig:
    return load_server(_write(folder, SERVER, changes), {})


@pytest.mark.parametrize(
    ("server", "secure", "asked"),
    [
        ({}, False, "none"),
        (FILES, True, "none"),
        ({**FILES, "client_ca_file": "file"}, True, "required"),
        ({**FILES, "client_ca_file": "file", "client_auth": "optional"}, True, "optional"),
        ({**FILES, "client_ca_file": "file", "client_auth": "none"}, True, "none"),
        (SPIFFE, True, "none"),
        ({**SPIFFE, "client_auth": "required"}, True, "required"),
        ({"tls_source": "terminated"}, False, "none"),
    ],
)
def test_what_clients_meet(tmp_path: Path, server: dict[str, Any], secure: bool, asked: str) -> None:
    """TLS or not, and whether they must show a certificate."""
    config = _server(tmp_path, server=server).server
    assert (config.secure, config.asked_of_clients) == (secure, asked)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"server": {**FILES, "client_auth": "optional"}}, {"server.client_ca_file"}),
        ({"server": {"client_auth": "sometimes"}}, {"server.client_auth"}),
        ({"server": {"tls_source": "terminated", **FILES}}, {"server.tls_cert_file", "server.tls_key_file"}),
        ({"server": {"tls_source": "terminated", "client_auth": "required"}}, {"server.client_auth"}),
        ({"server": {"tls_source": "spiffe"}}, {"server.spiffe_socket"}),
        ({"server": {**SPIFFE, "client_ca_file": "file"}}, {"server.client_ca_file"}),
        (
            {"trust_service": {"tls_source": "spiffe", "tls_ca_file": "file"}},
            {"server.spiffe_socket", "trust_service.spiffe_id", "trust_service.tls_ca_file"},
        ),
        ({"trust_service": {"spiffe_id": "https://signer"}}, {"trust_service.spiffe_id"}),
        ({"trust_service": {"spiffe_id": "spiffe://example.org"}}, {"trust_service.spiffe_id"}),
        ({"trust_service": {"spiffe_id": "spiffe://example.org/a/../b"}}, {"trust_service.spiffe_id"}),
        ({"server": {"trusted_proxies": ["10.0.0.1/8"]}}, {"server.trusted_proxies"}),
        ({"server": {"trusted_proxies": ["everybody"]}}, {"server.trusted_proxies"}),
        ({"server": {"trusted_proxies": 10}}, {"server.trusted_proxies"}),
        ({"server": {"forwarded_header": "x-real-ip"}}, {"server.forwarded_header"}),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], keys: set[str]) -> None:
    """All at once, each by its key."""
    with pytest.raises(ConfigError) as caught:
        _server(tmp_path, **changes)
    assert {problem.split(": ")[0] for problem in caught.value.problems} == keys


def test_proxies_are_networks(tmp_path: Path) -> None:
    """Single addresses, too; words in the environment."""
    wanted = (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"), ip_network("2001:db8::/32"))
    spelled = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
    path = _write(tmp_path, SERVER, {"server": {"trusted_proxies": spelled}})
    assert load_server(path, {}).server.trusted_proxies == wanted
    path = _write(tmp_path, SERVER, {})
    environ = {"NOTARY_SERVER_SERVER_TRUSTED_PROXIES": " ".join(spelled)}
    assert load_server(path, environ).server.trusted_proxies == wanted


def test_the_signer_with_svids(tmp_path: Path) -> None:
    """Instead of files, not beside them."""
    path = _write(tmp_path, SIGNER, {"server": {**NO_FILES, **SPIFFE}})
    config = load_signer(path, {})
    assert config.server.tls_source == "spiffe"
    assert any("workload of the trust domain" in warning for warning in _access_warnings(config))
    for changes in ({"tls_source": "spiffe", **NO_FILES}, {**SPIFFE, "tls_cert_file": "file"}):
        with pytest.raises(ConfigError):
            load_signer(_write(tmp_path, SIGNER, {"server": changes}), {})
