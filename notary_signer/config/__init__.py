"""The signer's configuration: Notary's signer-config.json, and our additions, as one frozen tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from notary_common.config import Document, Problem, Reading, read
from notary_common.sections import Logging, Management, Reporting, Storage, Tracing, common_problems
from notary_common.values import Text

from ..token.module import find_module
from ..token.problems import TokenProblem
from . import audit, listening, pkcs11
from .audit import Audit
from .clients import ClientRules
from .limits import Limits
from .listening import Server
from .pkcs11 import Pkcs11

__all__ = ["Server", "SignerConfig", "inspect", "load", "require_pin_file"]

ENVIRONMENT_PREFIX = "NOTARY_SIGNER"


class SignerStorage(Storage):
    """Where key records are kept."""

    default_alias: Text | None = Field(
        default=None,
        description="Name of Notary's pass phrase. Accepted and not used: the token protects the keys.",
    )


class SignerConfig(Document):
    """The whole of it. Paths are absolute; what is None was not set."""

    server: Server = Server()
    storage: SignerStorage = SignerStorage()
    pkcs11: Pkcs11 = Pkcs11()
    clients: ClientRules | None = Field(
        default=None,
        description="Which clients may do what, see below. Without it whoever `server.client_ca_file` signed may do everything, with a warning at start.",
    )
    limits: Limits = Limits()
    audit: Audit = Audit()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    reporting: Reporting = Reporting()
    management: Management = Management()

    @property
    def audit_writer(self) -> str:
        """The name of the daemon's chain of audit records."""
        return self.audit.writer_name(self.server.http_addr or self.server.grpc_addr)


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
    section = reading.draft.pkcs11.model_copy(update={"module": module})
    return Reading(reading.draft.model_copy(update={"pkcs11": section}), reading.problems)


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
    return common_problems(raw) + listening.problems(raw) + pkcs11.problems(raw) + audit.problems(raw)
