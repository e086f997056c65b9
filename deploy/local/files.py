"""The configuration files of a server and a signer that share one machine."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .pki import Pair

Document = dict[str, Any]


def server_document(
    *,
    port: int,
    tls: Pair,
    ca: Path,
    signer: Mapping[str, Any],
    database: Mapping[str, str],
    level: str = "info",
) -> Document:
    """A server-config.json.

    Args:
        port: where it listens, on the loopback interface: whoever reaches it may publish.
        signer: the keys of `trust_service` that say where the signer is.
        database: `backend` and `db_url`.
    """
    return {
        "server": {
            "http_addr": f"localhost:{port}",
            "tls_cert_file": str(tls.certificate),
            "tls_key_file": str(tls.key),
        },
        "trust_service": {"type": "remote", "key_algorithm": "ecdsa", "tls_ca_file": str(ca), **signer},
        "storage": dict(database),
        "logging": {"level": level},
    }


def signer_document(
    *, port: int, tls: Pair, ca: Path, database: Mapping[str, str], token_label: str, pin_file: Path,
    level: str = "info",
) -> Document:  # fmt: skip
    """A signer-config.json: mutual TLS on the loopback interface, keys in a SoftHSM token."""
    return {
        "server": {
            "http_addr": f"127.0.0.1:{port}",
            "tls_cert_file": str(tls.certificate),
            "tls_key_file": str(tls.key),
            "client_ca_file": str(ca),
        },
        "storage": dict(database),
        "pkcs11": {"token_label": token_label, "pin_file": str(pin_file)},
        "logging": {"level": level},
    }


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> Document:
    """`base` with the members of `over` put in, objects member by member; None removes a member."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = overlay(merged[name], value)
        else:
            merged[name] = value
    return merged


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write `document` as JSON a person can read and edit."""
    path.write_text(json.dumps(document, indent=2) + "\n")


def write_softhsm_conf(path: Path, tokens: Path) -> None:
    """What SoftHSM finds through SOFTHSM2_CONF: its objects are files below `tokens`."""
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")


def write_pin(path: Path) -> None:
    """A fresh random PIN that only the owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(16) + "\n")
