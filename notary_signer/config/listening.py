"""The section `server`: where and how the signer listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Problem, Section
from notary_common.sections import spiffe_problems, together
from notary_common.values import Address, File, Listen, SocketPath, one_of

_FILES = ("server.tls_cert_file", "server.tls_key_file", "server.client_ca_file")


class Server(Section):
    """Where and how the signer listens."""

    http_addr: Address | None = Field(
        default=None, description="`host:port`, `:port`, or `unix:///path`. Required, here or as `grpc_addr`."
    )
    grpc_addr: Address | None = Field(
        default=None,
        description="Notary's name for the signer's address; used where `http_addr` is not set. It speaks HTTP all the same.",
    )
    tls_cert_file: File | None = Field(default=None, description="Certificate chain, PEM. Required on TCP.")
    tls_key_file: File | None = Field(
        default=None, description="Private key of the certificate, PEM, not encrypted. Required on TCP."
    )
    client_ca_file: File | None = Field(
        default=None,
        description="CA of the clients' certificates, PEM. Required on TCP: without one anybody could sign.",
    )

    tls_source: Annotated[str, BeforeValidator(one_of("files", "spiffe"))] = Field(
        default="files",
        description="`files`: those above. `spiffe`: certificate, key and CA from the Workload API at `spiffe_socket`.",
    )
    spiffe_socket: SocketPath | None = Field(
        default=None, description="Unix socket of the SPIFFE Workload API. Required for `spiffe`."
    )

    @property
    def address(self) -> Listen:
        """Where to listen."""
        address = self.http_addr or self.grpc_addr
        assert address is not None, "an accepted configuration has one"  # noqa: S101
        return address


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    address = raw.get("server.http_addr") or raw.get("server.grpc_addr")
    if isinstance(address, str) and address.startswith("unix://"):
        return together(raw, "server.tls_cert_file", "server.tls_key_file")
    found: list[Problem] = []
    if address is None:
        found.append(Problem("server.http_addr", 'is missing; say where to listen, e.g. ":7899"'))
    if raw.get("server.tls_source") == "spiffe":
        beside = "stands beside server.tls_source spiffe; keep one of the two"
        found += [Problem(key, beside) for key in _FILES if raw.get(key) is not None]
        return found + spiffe_problems(raw, "server.tls_source")
    for key in _FILES:
        if raw.get(key) is None:
            found.append(
                Problem(key, "is missing; the signer speaks mutual TLS only, or listens on a unix:/// socket")
            )
    return found
