"""The record of every write and every refusal: who, from where, what, with which outcome (docs/adr/0034).

One line of JSON each, written before the answer leaves. The file is put on the disk once in a second, so a machine that
dies loses the lines of its last second, a process that dies none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from notary_common.journal import Journal, sync
from notary_common.log import get_logger
from notary_common.network import network
from notary_server.auth.access import ANONYMOUS, Identity, Wanted
from notary_server.errors import InvalidGun, NotaryError, TooManyRequests, Unauthorized, Unavailable
from notary_server.tuf.names import Gun

if TYPE_CHECKING:
    from .call import Call

Action = Literal["publish", "delete", "get key", "rotate key", "access", "audit"]
"""`access`: what the sender had no right to. `audit`: about this record itself."""
Outcome = Literal["done", "refused", "failed"]
"""`failed`: it could not be done, or nobody knows whether it was."""

SYNC_SECONDS: Final = 1.0
"""Between two times that the file is put on the disk."""
MAX_FILES: Final = 256
"""Files of one publish that are recorded one by one."""
MAX_REFUSALS: Final = 100
"""Refusals for want of access, or of a possible name, that are recorded of one client in a minute: nobody needs rights for
these, so they could push the rest out of the file. The log has all of them."""
MAX_TARGET: Final = 1024
"""Characters of an address that are recorded."""
LOGGER: Final = "notary.audit"

_ACTIONS: Final[dict[str, Action]] = {
    "UpdateTUF": "publish",
    "GetKey": "get key",
    "RotateKey": "rotate key",
    "DeleteTUF": "delete",
}
"""By the name of the operation in metrics."""

_log = get_logger()


@dataclass(slots=True)
class Entry:
    """What is recorded of one request; the handler adds what only it knows.

    Attributes:
        files: role, version and SHA-256 of what was, or should have been, stored; the version is None if it was refused.
        key: the ID of the key that was handed out.
    """

    action: Action
    gun: Gun
    client: str
    request_id: str
    identity: Identity = ANONYMOUS
    files: Sequence[tuple[str, int | None, str]] = ()
    key: str = ""

    def fields(self, outcome: Outcome, error: NotaryError | None = None) -> dict[str, object]:
        """All that is recorded, but the time."""
        recorded: dict[str, object] = {
            "action": self.action,
            "outcome": outcome,
            "gun": self.gun,
            "identity": self.identity.name,
            "issuer": self.identity.issuer,
            "client": self.client,
            "request_id": self.request_id,
        }
        if error is not None:
            recorded |= {"code": error.code, "reason": error.message[:500]}
        if self.key:
            recorded["key"] = self.key
        if self.files:
            recorded["files"] = [
                {"role": role, "version": version, "sha256": sha256}
                for role, version, sha256 in self.files[:MAX_FILES]
            ]
        return recorded


class AuditLog:
    """Where entries go: to a file, or to the log.

    If the file cannot be written, the entry goes to the log as an error, and no write is begun until it can.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        """`journal` belongs to it from now on; None: the log."""
        self._journal = journal
        self._lost = 0
        # A level of its own, so that the level of the log does not silence it.
        logging.getLogger(LOGGER).setLevel(logging.INFO)
        self._stream = get_logger(LOGGER)
        self._minute = 0
        self._refusals: Counter[str] = Counter()

    def takes_refusal(self, client: str) -> bool:
        """Whether one more refusal of this client's is to be recorded in this minute."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._refusals.clear()
        sender = network(client)
        self._refusals[sender] += 1
        return self._refusals[sender] <= MAX_REFUSALS

    def require(self) -> None:
        """Return if entries can be written.

        Raises:
            Unavailable: an earlier one could not be, and this is still so.
        """
        if not self._lost or self._journal is None:
            return
        reason = f"{self._lost} entries may be missing here; they are in the log"
        resumed = _line({"action": "audit", "outcome": "failed", "reason": reason})
        try:
            self._journal.append(resumed)
        except OSError as error:
            raise Unavailable("The audit log cannot be written.") from error
        self._lost = 0

    def write(self, entry: Entry, outcome: Outcome, error: NotaryError | None = None) -> None:
        """Record one request. Never raises: what has been done can't be undone for want of its record."""
        fields = entry.fields(outcome, error)
        if self._journal is None:
            self._stream.info("audit", **fields)
            return
        try:
            self._journal.append(_line(fields))
        except OSError as problem:
            self._lost += 1
            _log.error("the audit log cannot be written", reason=problem.strerror, entry=fields)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Put the file on the disk again and again; at the end once more, and close it."""
        syncing = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            syncing.cancel()
            if self._journal is not None:
                self._journal.close()

    async def _keep(self) -> None:
        while self._journal is not None:
            await asyncio.sleep(SYNC_SECONDS)
            descriptor = self._journal.duplicate()
            if descriptor is not None:
                try:
                    await asyncio.to_thread(sync, descriptor)
                except OSError as error:
                    self._lost += 1
                    _log.error("the audit log cannot be put on the disk", reason=error.strerror)


@contextlib.contextmanager
def audited(call: Call, action: Action) -> Iterator[Entry]:
    """Record what happens inside, whatever its outcome, before anybody is told.

    Raises:
        Unavailable: nothing is begun, since it could not be recorded.
    """
    audit = call.services.audit
    entry = Entry(action, call.gun, call.client, call.request_id, call.identity)
    audit.require()
    try:
        yield entry
    except NotaryError as error:
        # Whoever goes on trying must not push the rest out of the file.
        if not (isinstance(error, TooManyRequests) and error.repeated):
            audit.write(entry, "refused" if error.status < 500 else "failed", error)
        raise
    except BaseException:
        audit.write(entry, "failed")
        raise
    audit.write(entry, "done")


def access_refused(
    audit: AuditLog,
    wanted: Wanted,
    headers: Mapping[str, str],
    client: str,
    request_id: str,
    error: Unauthorized,
) -> None:
    """Record that a sender has no right to what it asked for; for whoever asks the access controller.

    A request without credentials is not recorded: it is how every client learns where to get them, and anybody can
    send any number.
    """
    if "authorization" in headers and audit.takes_refusal(client):
        identity = Identity(error.subject, error.issuer)
        audit.write(Entry("access", wanted.gun, client, request_id, identity), "refused", error)


def name_refused(audit: AuditLog, operation: str | None, target: str, client: str, request_id: str) -> None:
    """Record a write to an address that names no repository of this server; `operation` as metrics call it."""
    action = _ACTIONS.get(operation or "")
    if action is not None and audit.takes_refusal(client):
        # No name that anybody could take for that of a repository: it is the address as sent.
        entry = Entry(action, Gun(target[:MAX_TARGET]), client, request_id)
        audit.write(entry, "refused", InvalidGun("the address names no repository that this server takes"))


def _line(fields: dict[str, object]) -> bytes:
    """A line of JSON, ASCII throughout."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, **fields}).encode()
