"""The signer's configuration: Notary's signer-config.json, and our additions, as one frozen tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Document, Problem, Reading, Section, read
from notary_common.sections import Logging, Reporting, Storage, common_problems, together
from notary_common.values import Address, File, Listen, PinFile, Text, between, duration, text

from .token.module import find_module
from .token.problems import TokenProblem

ENVIRONMENT_PREFIX = "NOTARY_SIGNER"


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


class SignerStorage(Storage):
    """Where key records are kept."""

    default_alias: Text | None = Field(
        default=None,
        description="Name of Notary's pass phrase. Accepted and not used: the token protects the keys.",
    )


def _token_label(value: object) -> str:
    label = text(value)
    if len(label.encode()) > 32:
        raise ValueError("is longer than the 32 bytes a PKCS#11 token label may have; choose a shorter one")
    return label


class Pkcs11(Section):
    """The token that holds the keys."""

    module: File | None = Field(
        default=None, description="The PKCS#11 library. Without it: SoftHSM where distributions install it."
    )
    token_label: Annotated[str, BeforeValidator(_token_label)] = Field(
        default="notary", description="Label of the token, 32 bytes at most."
    )
    pin_file: PinFile | None = Field(
        default=None,
        description="File with the user PIN, not writable by other users; readable by them only with a warning. Required, except for `token init`.",
    )


class Limits(Section):
    """Bounds on what the signer's clients can ask for."""

    max_request_bytes: Annotated[int, BeforeValidator(between(4096, 1 << 28))] = Field(
        default=16 << 20, description="Bytes of one request, 4096 to 268435456."
    )
    max_loaded_keys: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=1024, description="Keys kept ready in the token at the same time, 1 to 100000."
    )
    max_waiting: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=256, description="Requests that wait for the token before more are answered 503, 1 to 100000."
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 3600))] = Field(
        default=30.0, description="Seconds a client may take to send one request, 1 to 3600."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=25.0,
        description="Seconds that running requests get to finish when the signer is told to stop, 0 to 600.",
    )


class SignerConfig(Document):
    """The whole of it. Paths are absolute; what is None was not set."""

    server: Server = Server()
    storage: SignerStorage = SignerStorage()
    pkcs11: Pkcs11 = Pkcs11()
    limits: Limits = Limits()
    logging: Logging = Logging()
    reporting: Reporting = Reporting()


def inspect(path: Path, environ: Mapping[str, str]) -> Reading[SignerConfig]:
    """Read the file as far as it can be read, with all problems.

    Raises:
        notary_common.config.ConfigError: the file itself cannot be read or parsed.
    """
    reading = read(SignerConfig, path, environ, ENVIRONMENT_PREFIX, _problems)
    if reading.draft.pkcs11.module is not None or not reading.sound("pkcs11.module"):
        return reading
    try:
        module = find_module(None)
    except TokenProblem as problem:
        reading.problems.append(Problem("pkcs11.module", f"is not set, and {problem}"))
        return reading
    pkcs11 = reading.draft.pkcs11.model_copy(update={"module": module})
    return Reading(reading.draft.model_copy(update={"pkcs11": pkcs11}), reading.problems)


def load(path: Path, environ: Mapping[str, str]) -> SignerConfig:
    """Read the file, with `NOTARY_SIGNER_*` from `environ` laid over it. `pkcs11.module` and `pkcs11.pin_file` are set.

    Raises:
        notary_common.config.ConfigError: with every problem that was found.
    """
    reading = inspect(path, environ)
    require_pin_file(reading)
    return reading.accepted()


def require_pin_file(reading: Reading[SignerConfig]) -> None:
    """Add a problem if no PIN file is set; only making a token can do without, by asking a person."""
    if reading.draft.pkcs11.pin_file is None and reading.sound("pkcs11.pin_file"):
        reading.problems.append(
            Problem(
                "pkcs11.pin_file",
                "is missing; write the token's user PIN to a file, chmod 600 it, and name it here",
            )
        )


def _problems(raw: Mapping[str, object]) -> list[Problem]:
    problems = common_problems(raw)
    address = raw.get("server.http_addr") or raw.get("server.grpc_addr")
    if address is None:
        problems.append(Problem("server.http_addr", 'is missing; say where to listen, e.g. ":7899"'))
    if isinstance(address, str) and address.startswith("unix://"):
        return problems + together(raw, "server.tls_cert_file", "server.tls_key_file")
    for key in ("server.tls_cert_file", "server.tls_key_file", "server.client_ca_file"):
        if raw.get(key) is None:
            problems.append(
                Problem(key, "is missing; the signer speaks mutual TLS only, or listens on a unix:/// socket")
            )
    return problems
