"""The section `server`: where and how the server listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Problem, Section
from notary_common.sections import spiffe_problems, together
from notary_common.values import File, Listen, Networks, SocketPath, TcpAddress, one_of


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
        default=None, description="CA of the clients' certificates, PEM; see `client_auth`."
    )
    client_auth: Annotated[str, BeforeValidator(one_of("none", "optional", "required"))] | None = Field(
        default=None,
        description="Whether clients show a certificate of `client_ca_file`: `none`, `optional` (who shows one is "
        "known by it) or `required`. Without it: `required` where `client_ca_file` is set, else `none`.",
    )
    tls_source: Annotated[str, BeforeValidator(one_of("files", "spiffe", "terminated"))] = Field(
        default="files",
        description="`files`: those above. `spiffe`: certificate, key and CA from the Workload API at "
        "`spiffe_socket`. `terminated`: TLS ends at a proxy in front; plain HTTP here.",
    )
    spiffe_socket: SocketPath | None = Field(
        default=None, description="Unix socket of the SPIFFE Workload API. Required for `spiffe`."
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="Addresses or networks (CIDR) of proxies whose word about a client's address is taken. In the "
        "environment: separated by blanks.",
    )
    forwarded_header: Annotated[str, BeforeValidator(one_of("x-forwarded-for", "forwarded"))] = Field(
        default="x-forwarded-for",
        description="The one header field those proxies set: `x-forwarded-for`, or `forwarded` (RFC 7239). The other "
        "is whatever a client sent.",
    )

    @property
    def address(self) -> Listen:
        """Where to listen."""
        assert self.http_addr is not None, "an accepted configuration has one"  # noqa: S101
        return self.http_addr

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls_source == "spiffe" or (self.tls_source == "files" and self.tls_cert_file is not None)

    @property
    def asked_of_clients(self) -> str:
        """Whether clients show a certificate: `none`, `optional` or `required`."""
        return self.client_auth or ("none" if self.client_ca_file is None else "required")


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    found = together(raw, "server.tls_cert_file", "server.tls_key_file")
    if raw.get("server.http_addr") is None:
        found.append(Problem("server.http_addr", 'is missing; say where to listen, e.g. ":4443"'))
    source = raw.get("server.tls_source")
    if source in {"spiffe", "terminated"}:
        return found + _without_files(raw, str(source))
    if raw.get("server.client_ca_file") is not None and raw.get("server.tls_cert_file") is None:
        found.append(
            Problem(
                "server.tls_cert_file",
                "is missing beside server.client_ca_file; client certificates need TLS",
            )
        )
    if raw.get("server.client_auth") in {"optional", "required"} and raw.get("server.client_ca_file") is None:
        found.append(
            Problem("server.client_ca_file", "is missing; say whose client certificates are believed")
        )
    return found


def _without_files(raw: Mapping[str, object], source: str) -> list[Problem]:
    found = [
        Problem(f"server.{key}", f"stands beside server.tls_source {source}; keep one of the two")
        for key in ("tls_cert_file", "tls_key_file", "client_ca_file")
        if raw.get(f"server.{key}") is not None
    ]
    if source == "spiffe":
        found += spiffe_problems(raw, "server.tls_source")
    elif raw.get("server.client_auth") in {"optional", "required"}:
        found.append(
            Problem("server.client_auth", "needs TLS here, which server.tls_source terminated rules out")
        )
    return found
