"""The signer's configuration file: Notary's keys, our additions, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from notary_common.config import ConfigError
from notary_common.values import Listen
from notary_signer.config import SignerConfig, load

TCP: dict[str, Any] = {
    "server": {
        "grpc_addr": ":7899",
        "tls_cert_file": "signer.pem",
        "tls_key_file": "signer-key.pem",
        "client_ca_file": "ca.pem",
    },
    "logging": {"level": "info"},
    "storage": {
        "backend": "postgres",
        "db_url": "postgres://signer@db/notarysigner",
        "default_alias": "alias1",
    },
    "pkcs11": {"pin_file": "pin"},
}
SOCKET: dict[str, Any] = {
    "server": {"http_addr": "unix:///run/notary/signer.sock"},
    "storage": {"backend": "sqlite3", "db_url": "signer.db"},
    "pkcs11": {"pin_file": "pin"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that TCP and SOCKET name."""
    for name in ("signer.pem", "signer-key.pem", "ca.pem", "pin"):
        (tmp_path / name).touch(0o600)
    return tmp_path


def _read(folder: Path, document: dict[str, Any], environ: dict[str, str] | None = None) -> SignerConfig:
    path = folder / "signer.json"
    path.write_text(json.dumps(document))
    return load(path, environ or {})


def _keys(folder: Path, document: dict[str, Any], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _read(folder, document, environ)
    return [problem.split(": ")[0] for problem in caught.value.problems]


def test_notarys_own_file_needs_only_the_token_besides(folder: Path) -> None:
    """grpc_addr says where to listen, and SoftHSM is found by itself."""
    config = _read(folder, TCP)
    assert config.server.address == Listen("", 7899)
    assert config.pkcs11.module is not None
    assert config.pkcs11.module.name == "libsofthsm2.so"
    assert config.pkcs11.token_label == "notary"
    assert config.pkcs11.pin_file == folder / "pin"


def test_http_addr_wins_over_grpc_addr(folder: Path) -> None:
    """With both, our own key counts."""
    document = copy.deepcopy(TCP)
    document["server"]["http_addr"] = "127.0.0.1:4444"
    assert _read(folder, document).server.address == Listen("127.0.0.1", 4444)


def test_a_socket_needs_no_certificates(folder: Path) -> None:
    """On a Unix socket TLS files may be left out."""
    assert _read(folder, SOCKET).server.address == Listen("", 0, Path("/run/notary/signer.sock"))


def test_a_relative_socket_starts_at_the_file(folder: Path) -> None:
    """The path of a socket is resolved like any other."""
    document = copy.deepcopy(SOCKET)
    document["server"]["http_addr"] = "unix://signer.sock"
    assert _read(folder, document).server.address.socket == folder / "signer.sock"


@pytest.mark.parametrize("key", ["tls_cert_file", "tls_key_file", "client_ca_file"])
def test_tcp_without_mutual_tls_is_refused(folder: Path, key: str) -> None:
    """Without certificate, key or client CA nobody listens on TCP."""
    document = copy.deepcopy(TCP)
    del document["server"][key]
    assert _keys(folder, document) == [f"server.{key}"]


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_pin_file_that_others_may_change_is_refused(folder: Path, mode: int) -> None:
    """Who can write the PIN can lock the token."""
    (folder / "pin").chmod(mode)
    assert _keys(folder, TCP) == ["pkcs11.pin_file"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("pkcs11", "pin", "1234"),
        ("pkcs11", "pin_file", None),
        ("pkcs11", "pin_file", "gone"),
        ("pkcs11", "module", "gone.so"),
        ("pkcs11", "token_label", "x" * 33),
        ("pkcs11", "token_serial", "x" * 17),
        ("pkcs11", "slot", -1),
        ("pkcs11", "keys", "both"),
        ("pkcs11", "call_timeout", 0),
        ("pkcs11", "refused_pin_file", "no-such-folder/refused"),
        ("server", "grpc_addr", None),
        ("server", "grpc_addr", "unix://" + "x" * 120),
        ("server", "grpc_addr", "7899"),
        ("storage", "backend", "rethinkdb"),
        ("storage", "default_alias", 5),
        ("limits", "max_loaded_keys", 0),
    ],
)
def test_a_bad_value_is_refused_by_its_key(folder: Path, section: str, key: str, value: Any) -> None:
    """Each refusal is about the dotted key, and about nothing else."""
    document = copy.deepcopy(TCP)
    document.setdefault(section, {})[key] = value
    expected = "server.http_addr" if key == "grpc_addr" and value is None else f"{section}.{key}"
    assert _keys(folder, document) == [expected]


@pytest.mark.parametrize(
    ("named", "refused"),
    [
        ({"token_label": "a", "token_serial": "b"}, ["pkcs11.token_serial"]),
        ({"token_label": "a", "slot": 1}, ["pkcs11.slot"]),
        ({"token_serial": "b", "slot": 1}, ["pkcs11.slot"]),
    ],
)
def test_a_token_is_named_in_one_way(folder: Path, named: dict[str, Any], refused: list[str]) -> None:
    """Two names could mean two tokens."""
    assert _keys(folder, {**TCP, "pkcs11": {"pin_file": "pin", **named}}) == refused


def test_how_the_token_is_used(folder: Path) -> None:
    """The section as the token's process gets it: paths made absolute, a serial number of digits taken as text."""
    section = {"pin_file": "pin", "token_serial": 1234, "keys": "resident", "refused_pin_file": "refused"}
    settings = _read(folder, {**TCP, "pkcs11": section}).pkcs11.settings(7)
    assert (settings.serial, settings.slot, settings.mode, settings.max_handles) == (
        "1234",
        None,
        "resident",
        7,
    )
    assert (settings.pin_file, settings.refused_file) == (str(folder / "pin"), str(folder / "refused"))
    assert settings.name == "with the serial number '1234'"
    assert (
        _read(folder, {**TCP, "pkcs11": {"pin_file": "pin", "slot": 3}}).pkcs11.settings(7).name
        == "in slot 3"
    )


def test_a_pin_in_the_environment_means_nothing(folder: Path) -> None:
    """There is no variable for a PIN; Notary's pass phrases are ignored too."""
    environ = {
        "NOTARY_SIGNER_PKCS11_PIN": "1234",
        "NOTARY_SIGNER_PIN": "1234",
        "NOTARY_SIGNER_ALIAS1": "phrase",
    }
    assert _read(folder, TCP, environ) == _read(folder, TCP)


def test_notarys_variable_for_the_alias_is_not_a_leaf(folder: Path) -> None:
    """NOTARY_SIGNER_DEFAULT_ALIAS of a Notary deployment does no harm."""
    assert _read(folder, TCP, {"NOTARY_SIGNER_DEFAULT_ALIAS": "x"}).storage.default_alias == "alias1"


def test_the_environment_wins_over_the_file(folder: Path) -> None:
    """Leaves of the signer have variables as those of the server."""
    environ = {"NOTARY_SIGNER_SERVER_GRPC_ADDR": ":1", "NOTARY_SIGNER_PKCS11_TOKEN_LABEL": "other"}
    config = _read(folder, TCP, environ)
    assert config.server.address.port == 1
    assert config.pkcs11.token_label == "other"
