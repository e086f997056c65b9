"""The section `trust_service`: who holds the snapshot and timestamp keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, InstanceOf

from notary_common.config import Problem, Section
from notary_common.sections import spiffe_problems, together
from notary_common.values import (
    File,
    Host,
    Listen,
    Port,
    SocketPath,
    SpiffeId,
    addresses,
    between,
    duration,
    one_of,
)

MAX_SIGNERS: Final = 16
"""Further signers: a call may ask all of them, one after the other."""


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
    signers: Annotated[tuple[InstanceOf[Listen], ...], BeforeValidator(addresses(MAX_SIGNERS))] = Field(
        default=(),
        description="Further signers that share the registry and the KEK of the first, or all of them: a list of "
        "`host:port` or `unix:///path`. Work is spread over them, and one that does not answer is left out.",
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
        default=10.0,
        description="Seconds until one call of the signers has an answer, whichever of them gives it, 0.1 to 300.",
    )
    key_grace: Annotated[int, BeforeValidator(between(0, 31_536_000))] = Field(
        default=86_400,
        description="Seconds from the deletion of a repository, or from a root that no longer lists a key, until the "
        "signer retires the key, 0 to 31536000: until then the same root can be published again.",
    )

    @property
    def endpoints(self) -> tuple[Listen, ...]:
        """Where all signers are, the first one first, each once."""
        first: list[Listen] = []
        if self.socket is not None:
            first.append(Listen("", 0, self.socket))
        elif self.hostname is not None and self.port is not None:
            first.append(Listen(self.hostname, self.port))
        return tuple(dict.fromkeys((*first, *self.signers)))


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
    first = any(raw.get(key) is not None for key in network)
    if raw.get("trust_service.socket") is not None:
        problems += [
            Problem(key, "stands beside trust_service.socket; keep one of the two")
            for key in network
            if raw.get(key) is not None
        ]
    elif first or raw.get("trust_service.signers") is None:
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
