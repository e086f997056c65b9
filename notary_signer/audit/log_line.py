"""No audit log: a line among the others, which anybody who can write the log may alter or remove unseen."""

from __future__ import annotations

from dataclasses import asdict

from notary_common.log import get_logger
from notary_signer.ports import AuditEvent

_log = get_logger("notary.signer.audit")


class LogLine:
    """Implements `ports.AuditLog` for commands. Of the daemon, the line of each request is the record."""

    async def append(self, event: AuditEvent) -> None:
        """See `AuditLog.append`; durable as far as standard error is."""
        said = {name: value for name, value in asdict(event).items() if value not in ("", None)}
        _log.info("audit", **said)

    async def ping(self) -> None:
        """See `AuditLog.ping`."""


class RequestLine:
    """Implements `ports.AuditLog` for a daemon whose request lines are the record (`http/envelope.py`)."""

    async def append(self, event: AuditEvent) -> None:
        """See `AuditLog.append`; the line follows with the answer."""

    async def ping(self) -> None:
        """See `AuditLog.ping`."""
