"""The SQL of the store, built once and alike for SQLite and PostgreSQL.

Every look at a repository goes along the unique index (gun, role, version), so its price does not grow with the
number of stored versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from notary_server.tuf.names import MAX_GUN_LENGTH, MAX_ROLE_LENGTH, RoleName

from .schema import CHANGEFEED, TUF_FILES

_F = TUF_FILES.c
_BODY = (_F.role, _F.version, _F.sha256, _F.data, _F.created_at, _F.updated_at)
_VISIBLE = _F.deleted_at.is_(None)

CHECKS_AT_ONCE: Final = 100
"""Roles per conflict check: SQLite bounds the depth of an expression at 1,000."""


def is_storable(gun: str, role: str = "") -> bool:
    """Whether the columns can hold these names; what they cannot hold is not stored, and is not asked for."""
    if len(gun) > MAX_GUN_LENGTH or len(role) > MAX_ROLE_LENGTH or "\0" in gun or "\0" in role:
        return False
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in gun + role)


def lock_number(name: str) -> int:
    """A signed 64-bit number for PostgreSQL's advisory locks; two names that share one only wait for each other."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


LOCK: Final = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))
"""Held until the transaction ends."""
FEED_LOCK: Final = lock_number("changefeed")


def gun_lock(gun: str) -> int:
    """The lock that commits and deletes of one repository take turns with."""
    return lock_number(f"gun {gun}")


def latest(*roles: str) -> sa.Select[Any]:
    """The highest visible version of each of `roles`, of the bound `gun`, in one statement.

    `roles` are names of parameters that hold the role names.
    """
    arms = [
        sa.select(*_BODY)
        .where(_F.gun == sa.bindparam("gun"), _F.role == sa.bindparam(role), _VISIBLE)
        .order_by(_F.version.desc())
        .limit(1)
        .subquery()
        for role in roles
    ]
    union = sa.union_all(*(sa.select(arm) for arm in arms)).subquery()
    return sa.select(union)


LATEST_ONE: Final = latest("role")
LATEST_TWO: Final = latest("timestamp", "role")
LATEST_THREE: Final = latest("timestamp", "snapshot", "role")

BY_CHECKSUM: Final = sa.select(*_BODY).where(
    _F.gun == sa.bindparam("gun"),
    _F.role == sa.bindparam("role"),
    _F.sha256 == sa.bindparam("sha256"),
    _VISIBLE,
)
BY_VERSION: Final = sa.select(*_BODY).where(
    _F.gun == sa.bindparam("gun"),
    _F.role == sa.bindparam("role"),
    _F.version == sa.bindparam("version"),
    _VISIBLE,
)

TRUST_STATE: Final = sa.text(
    """
    WITH RECURSIVE roles(role) AS (
        SELECT min(role) FROM tuf_files WHERE gun = :gun
        UNION ALL
        SELECT (SELECT min(later.role) FROM tuf_files later WHERE later.gun = :gun AND later.role > roles.role)
        FROM roles WHERE roles.role IS NOT NULL
    )
    SELECT file.role, file.version, file.sha256, length(file.data) AS length,
           CASE WHEN file.role IN :wanted THEN file.data END AS data
    FROM roles JOIN tuf_files file ON file.id = (
        SELECT one.id FROM tuf_files one
        WHERE one.gun = :gun AND one.role = roles.role AND one.deleted_at IS NULL
        ORDER BY one.version DESC LIMIT 1
    )
    """
).bindparams(
    sa.bindparam("gun", type_=sa.String(255)),
    sa.bindparam("wanted", expanding=True, type_=sa.String(255)),
)
"""The latest file of every role; the recursion steps from role to role instead of reading every version."""

HEAD: Final = (
    sa.select(_F.version, _F.sha256)
    .where(_F.gun == sa.bindparam("gun"), _F.role == sa.bindparam("role"), _VISIBLE)
    .order_by(_F.version.desc())
    .limit(1)
)


def conflicts(gun: str, versions: Sequence[tuple[RoleName, int]]) -> sa.Select[Any]:
    """One row if any of the roles is stored in that or a higher version."""
    taken = (sa.and_(_F.role == role, _F.version >= version) for role, version in versions)
    return sa.select(sa.literal(1)).where(_F.gun == gun, sa.or_(*taken)).limit(1)


def changes(gun: str | None, change_id: int, records: int) -> sa.Select[Any]:
    """Records of the changefeed; backwards ones come newest first."""
    feed = CHANGEFEED.c
    query = sa.select(feed.id, feed.created_at, feed.gun, feed.version, feed.sha256, feed.category)
    if gun is not None:
        query = query.where(feed.gun == gun)
    if records > 0:
        return query.where(feed.id > change_id).order_by(feed.id).limit(records)
    if change_id > 0:
        query = query.where(feed.id < change_id)
    return query.order_by(feed.id.desc()).limit(-records)


def repository_totals(prefix: str) -> sa.Select[Any]:
    """Rows and bytes of every GUN that begins with `prefix`."""
    return (
        sa.select(_F.gun, sa.func.count().label("rows"), sa.func.sum(sa.func.length(_F.data)).label("size"))
        .where(_VISIBLE, sa.func.substr(_F.gun, 1, len(prefix)) == prefix)
        .group_by(_F.gun)
    )


def repository_files(prefix: str) -> sa.Select[Any]:
    """The latest file of every role of every GUN that begins with `prefix`."""
    newest = (
        sa.select(_F.gun, _F.role, sa.func.max(_F.version).label("version"))
        .where(_VISIBLE, sa.func.substr(_F.gun, 1, len(prefix)) == prefix)
        .group_by(_F.gun, _F.role)
        .subquery()
    )
    return sa.select(_F.gun, _F.role, _F.version, _F.sha256, sa.func.length(_F.data).label("length")).join(
        newest,
        sa.and_(_F.gun == newest.c.gun, _F.role == newest.c.role, _F.version == newest.c.version),
    )
