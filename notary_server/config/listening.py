"""The section `server`: where and how the server listens."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from notary_common.config import Problem, Section
from notary_common.sections import together
from notary_common.values import File, Listen, TcpAddress


class Server(Section):
    """Where and how the server listens."""

    http_addr: TcpAddress | None = Field(default=None, description="`host:port` or `:port`. Required.")
    tls_cert_file: File | None = Field(
        default=None, description="Certificate chain, PEM, the server's own first. Without it: plain HTTP."
    )
    tls_key_file: File | None = Field(
        default=None, description="Private key of the certificate, PEM, not encrypted."
    )
    client_ca_file: File | None = Field(
        default=None, description="If set, clients must show a certificate that a CA of this PEM file signed."
    )

    @property
    def address(self) -> Listen:
        """Where to listen."""
        assert self.http_addr is not None, "an accepted configuration has one"  # noqa: S101
        return self.http_addr


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    found = together(raw, "server.tls_cert_file", "server.tls_key_file")
    if raw.get("server.http_addr") is None:
        found.append(Problem("server.http_addr", 'is missing; say where to listen, e.g. ":4443"'))
    if raw.get("server.client_ca_file") is not None and raw.get("server.tls_cert_file") is None:
        found.append(
            Problem(
                "server.tls_cert_file",
                "is missing beside server.client_ca_file; client certificates need TLS",
            )
        )
    return found
