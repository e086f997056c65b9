"""The section `trust_service`: who holds the snapshot and timestamp keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Problem, Section
from notary_common.sections import spiffe_problems, together
from notary_common.values import File, Host, Port, SocketPath, SpiffeId, duration, one_of


class TrustService(Section):
    """Who holds the snapshot and timestamp keys."""

    type: Annotated[str, BeforeValidator(one_of("remote", "local"))] | None = Field(
        default=None,
        description="`remote`: the signer. `local`: Ed25519 keys in this process, lost when it ends. Required.",
    )
    hostname: Host | None = Field(default=None, description="The signer's name, as its certificate has it.")
    port: Port | None = Field(default=None, description="The signer's port, a number or its digits.")
    socket: SocketPath | None = Field(
        default=None, description="Path of the signer's Unix socket, instead of `hostname` and `port`."
    )
    key_algorithm: Annotated[str, BeforeValidator(one_of("ecdsa", "ed25519", "rsa"))] | None = Field(
        default=None, description="Kind of new keys: `ecdsa`, `ed25519` or `rsa`. Required for `remote`."
    )
    tls_source: Annotated[str, BeforeValidator(one_of("files", "spiffe"))] = Field(
        default="files",
        description="`files`: those below. `spiffe`: the server's certificate, and whom to believe, from the Workload "
        "API at `server.spiffe_socket`.",
    )
    spiffe_id: SpiffeId | None = Field(
        default=None,
        description="The signer's SPIFFE ID, e.g. `spiffe://example.org/notary-signer`, which its certificate must "
        "have instead of the name `hostname`. Required for `spiffe`.",
    )
    tls_ca_file: File | None = Field(
        default=None, description="CA of the signer's certificate, PEM. Without it: those the system trusts."
    )
    tls_client_cert: File | None = Field(
        default=None, description="The server's certificate towards the signer, PEM."
    )
    tls_client_key: File | None = Field(
        default=None, description="Private key of that certificate, PEM, not encrypted."
    )
    timeout: Annotated[float, BeforeValidator(duration(0.1, 300))] = Field(
        default=10.0, description="Seconds the signer may take for one answer, 0.1 to 300."
    )


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    found = together(raw, "trust_service.tls_client_cert", "trust_service.tls_client_key")
    if raw.get("trust_service.type") is None:
        found.append(Problem("trust_service.type", "is missing; write remote or local"))
    elif raw["trust_service.type"] == "remote":
        found += _remote_problems(raw)
    return found


def _remote_problems(raw: Mapping[str, object]) -> list[Problem]:
    problems: list[Problem] = []
    network = ("trust_service.hostname", "trust_service.port")
    if raw.get("trust_service.socket") is not None:
        problems += [
            Problem(key, "stands beside trust_service.socket; keep one of the two")
            for key in network
            if raw.get(key) is not None
        ]
    else:
        problems += [
            Problem(key, "is missing; say where the signer is, or set trust_service.socket")
            for key in network
            if raw.get(key) is None
        ]
    if raw.get("trust_service.tls_source") == "spiffe":
        problems += _spiffe_problems(raw)
    if raw.get("trust_service.key_algorithm") is None:
        problems.append(Problem("trust_service.key_algorithm", "is missing; write ecdsa, ed25519 or rsa"))
    return problems


def _spiffe_problems(raw: Mapping[str, object]) -> list[Problem]:
    problems = [
        Problem(f"trust_service.{key}", "stands beside trust_service.tls_source spiffe; keep one of the two")
        for key in ("tls_ca_file", "tls_client_cert", "tls_client_key", "socket")
        if raw.get(f"trust_service.{key}") is not None
    ]
    if raw.get("trust_service.spiffe_id") is None:
        # Everybody in the trust domain has a certificate of its CA.
        problems.append(Problem("trust_service.spiffe_id", "is missing; say which workload the signer is"))
    return problems + spiffe_problems(raw, "trust_service.tls_source")
