"""Changefeed records, written so that their IDs become visible in their order."""

from __future__ import annotations

from datetime import datetime

from notary_common.database import Session

from . import statements


async def announce(
    session: Session, gun: str, version: int, sha256: str, category: str, now: datetime
) -> None:
    """Write a changefeed record as the transaction's last step, when everybody else's IDs can be seen."""
    await session.turn(statements.FEED_TURN)
    await session.run(
        statements.ANNOUNCE, now=now, gun=gun, version=version, sha256=sha256, category=category
    )
