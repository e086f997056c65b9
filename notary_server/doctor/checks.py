"""PURE: what each check found, judged from what was seen, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from notary_common.table import printable

Status = Literal["ok", "warning", "failed", "skipped"]

SOON: Final = timedelta(days=30)
"""A certificate that ends within it is worth a word."""
SKEW: Final = timedelta(seconds=5)
"""Clocks that differ by more make versions of one second look as if they came in another order."""
_WIDTH: Final = 30
"""Of the names; a longer one moves its text to the right."""
FILES: Final = 4096
"""Open files that a server with the usual limits needs."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        text: what was seen, in a sentence or less.
        remedy: what to do about it; empty if nothing is wrong.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {"check": self.name, "status": self.status, "text": self.text, "remedy": self.remedy}


def ends(name: str, not_after: datetime, now: datetime) -> Check:
    """A certificate that can be used, by the time that is left."""
    left = not_after - now
    day = f"{not_after:%Y-%m-%d}"
    if left < timedelta():
        return Check(
            name, "failed", f"the certificate ended on {day}", "renew it; it is taken while the server runs"
        )
    if left < SOON:
        remedy = "renew it; it is taken while the server runs (docs/operations/tls.md)"
        return Check(name, "warning", f"the certificate ends on {day}, in {left.days} days", remedy)
    return Check(name, "ok", f"good until {day}")


def secret(name: str, path: str, mode: int) -> Check | None:
    """A file with a key that others may read or change; None if they may not. `mode`: its permissions."""
    if not mode & 0o027:
        return None
    return Check(name, "warning", f"{path} has the mode {mode & 0o777:o}: others can read or change it",
                 f"chmod 640 {path}, owned by the user who runs the server")  # fmt: skip


def clock(seconds: float) -> Check:
    """How far the database's clock is ahead of this machine's."""
    if abs(seconds) <= SKEW.total_seconds():
        return Check("clock", "ok", f"within {SKEW.total_seconds():.0f} seconds of the database's")
    where = "ahead of" if seconds > 0 else "behind"
    text = f"the database's clock is {abs(seconds):.0f} seconds {where} this machine's"
    return Check(
        "clock", "failed", text, "run a time service such as chrony on both; dates are signed and verified"
    )


def connections(pool_size: int, allowed: int) -> Check:
    """Whether one process's pool fits into what the database allows in all, together with its successor's."""
    text = f"{pool_size} for each process of the {allowed} that the database allows"
    if 2 * pool_size <= allowed:
        return Check("connections", "ok", text)
    remedy = "lower storage.pool_size, or raise max_connections: a reload needs twice as many for a moment"
    return Check("connections", "warning", text, remedy)


def open_files(allowed: int) -> Check:
    """How many files a process may have open; a connection is one."""
    if allowed >= FILES:
        return Check("open files", "ok", f"up to {allowed}")
    remedy = f"raise the limit to {FILES} or more: ulimit -n, LimitNOFILE= in systemd, ulimits in compose"
    return Check("open files", "warning", f"up to {allowed}, and each connection is one", remedy)


def worst(checks: Sequence[Check]) -> Status:
    """What all of them come to."""
    found = {check.status for check in checks}
    return "failed" if "failed" in found else "warning" if "warning" in found else "ok"


def line(check: Check) -> str:
    """For people: what was found, and below it what to do."""
    told = f"{check.status:<8} {check.name:<{_WIDTH}} {printable(check.text)}"
    return f"{told}\n{'':<8} {'':<{_WIDTH}} -> {printable(check.remedy)}" if check.remedy else told


def total(checks: Sequence[Check]) -> str:
    """How many there are of each kind that is not well."""
    kinds: tuple[Status, ...] = ("failed", "warning", "skipped")
    number = {status: sum(check.status == status for check in checks) for status in kinds}
    told = ", ".join(f"{count} {status}" for status, count in number.items() if count)
    return f"{len(checks)} checks: {told or 'all is well'}"
