"""The section `server`: where and how the signer listens."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from notary_common.config import Problem, Section
from notary_common.sections import together
from notary_common.values import Address, File, Listen


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
    for key in ("server.tls_cert_file", "server.tls_key_file", "server.client_ca_file"):
        if raw.get(key) is None:
            found.append(
                Problem(key, "is missing; the signer speaks mutual TLS only, or listens on a unix:/// socket")
            )
    return found
