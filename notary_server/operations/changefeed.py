"""Read the changefeed: which repositories changed, in order (docs/reference/protocol.md, 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from notary_server.errors import InvalidParameters
from notary_server.ports import Change
from notary_server.tuf.names import Gun

from .context import Context

__all__ = ["DEFAULT_RECORDS", "Change", "changes", "resumed_after"]

DEFAULT_RECORDS: Final = 100
"""What `records=0` asks for."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)


async def changes(context: Context, gun: Gun | None, change_id: str, records: str) -> list[Change]:
    """The records that a consumer asks for, oldest first; those of all repositories if `gun` is None.

    `records` and `change_id` are the query's parameters as written; empty if absent.

    Raises:
        InvalidParameters: `records` is no signed 32-bit decimal number, or `change_id` none of 64 bits.
        StoreUnavailable: the database cannot answer.
    """
    wanted = _number(records, _INT32)
    if wanted is None:
        raise InvalidParameters(
            "The parameters provided are not valid.", "invalid records parameter: not a signed 32-bit number"
        )
    after = _number(change_id or "0", _INT64)
    if after is None:
        raise InvalidParameters("The parameters provided are not valid.", {})
    wanted = wanted or DEFAULT_RECORDS
    count = min(abs(wanted), context.max_changes)
    if wanted < 0 or after < 0:
        return await context.store.changes(gun, max(after, 0), -count)
    return await context.store.changes(gun, after, count)


def resumed_after(query: Mapping[str, str], last_event: str) -> int | None:
    """The record after which a stream goes on; None: begin with what is committed from now on.

    Args:
        query: the parameters of the address.
        last_event: the field Last-Event-ID, which a client sends that lost a stream; it counts more.

    Raises:
        InvalidParameters: one of them is no ID, or `records` is given, which a stream has no use for.
    """
    if query.get("records"):
        raise InvalidParameters(
            "The parameters provided are not valid.", "records has no meaning for a stream"
        )
    given = last_event or query.get("change_id", "")
    if not given:
        return None
    after = _number(given, _INT64)
    if after is None or after < 0:
        name = "Last-Event-ID" if last_event else "change_id"
        raise InvalidParameters(
            "The parameters provided are not valid.", f"invalid {name}: not the ID of a change"
        )
    return after


def _number(text: str, bounds: range) -> int | None:
    # Longer texts hold leading zeros at best; Python would spend its time on reading them.
    if not _NUMBER.fullmatch(text) or len(text) > 64:
        return None
    number = int(text)
    return number if number in bounds else None
