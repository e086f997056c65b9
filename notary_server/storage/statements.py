"""The SQL of the store: alike for all databases where they allow it, else spelled for each of them.

Every look at a repository goes along the unique index (gun, role, version), so its price does not grow with the
number of stored versions.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal

import sqlalchemy as sa

from notary_common.database import Dialect, Query, among
from notary_server.tuf.names import MAX_GUN_LENGTH, MAX_ROLE_LENGTH

from .schema import CHANGEFEED, TUF_FILES

_F = TUF_FILES.c
_VISIBLE = _F.deleted_at.is_(None)
_WHOLE = (_F.gun, _F.role, _F.version, _F.sha256, _F.data, _F.created_at, _F.updated_at)

FEED_TURN: Final = "changefeed"
"""Taken before a changefeed ID is drawn and held until the commit: so IDs become visible in their order."""
HEADS_AT_ONCE: Final = 64
"""Look-ups in one statement."""
FILES_AT_ONCE: Final = 16
"""Files in one statement; a file may have many megabytes."""
CHECKS_AT_ONCE: Final = 100
"""Roles per conflict check: SQLite bounds the depth of an expression at 1,000."""


def is_storable(dialect: Dialect, gun: str, role: str = "") -> bool:
    """Whether the columns can hold these names; what they cannot hold is not stored, and is not asked for."""
    if len(gun) > MAX_GUN_LENGTH or len(role) > MAX_ROLE_LENGTH or "\0" in gun or "\0" in role:
        return False
    if dialect == "mysql" and (gun.endswith(" ") or any(character > "\uffff" for character in gun + role)):
        return False  # spaces at the end are not compared, and Notary's tables have utf8 of three bytes
    if gun.isascii() and role.isascii():
        return True
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in gun + role)


def gun_turn(gun: str) -> str:
    """The turn that commits and deletes of one repository take."""
    return f"gun {gun}"


def _text(text: str, *typed: sa.BindParameter[Any]) -> Query:
    return Query(lambda _: sa.text(text).bindparams(*typed))


HEADS_POSTGRES: Final = _text(
    """
    SELECT asked.number - 1, file.version, file.sha256
    FROM unnest(CAST(:guns AS text[]), CAST(:roles AS text[]), CAST(:versions AS integer[]))
         WITH ORDINALITY AS asked(gun, role, version, number),
         LATERAL (
             SELECT version, sha256 FROM tuf_files
             WHERE gun = asked.gun AND role = asked.role AND version <= asked.version AND deleted_at IS NULL
             ORDER BY version DESC LIMIT 1
         ) AS file
    """
)
"""For each asked (gun, role, version) the number of the question and the highest version that is not above it."""


@cache
def heads(size: int) -> Query:
    """The same as `HEADS_POSTGRES` for the others; `size` questions as parameters `gun0`, `role0`, `version0`, ..."""
    one = """
        SELECT * FROM (
            SELECT # AS number, version, sha256 FROM tuf_files
            WHERE gun = :gun# AND role = :role# AND version <= :version# AND deleted_at IS NULL
            ORDER BY version DESC LIMIT 1
        ) AS file#
    """
    return _text(" UNION ALL ".join(one.replace("#", str(number)) for number in range(size)))


TIMESTAMPS_POSTGRES: Final = _text(
    """
    SELECT asked.number - 1, file.*
    FROM unnest(CAST(:guns AS text[]), CAST(:known AS text[])) WITH ORDINALITY AS asked(gun, known, number),
         LATERAL (
             SELECT role, version, sha256, CASE WHEN sha256 = asked.known THEN NULL ELSE data END, created_at, updated_at
             FROM tuf_files WHERE gun = asked.gun AND role = 'timestamp' AND deleted_at IS NULL
             ORDER BY version DESC LIMIT 1
         ) AS file
    """
)
"""For each asked GUN the number of the question and the timestamp of the highest version; its bytes if they do not
have the digest that is known of it."""


@cache
def timestamps(size: int) -> Query:
    """The same as `TIMESTAMPS_POSTGRES` for the others; `size` questions as parameters `gun0`, `known0`, ..."""
    one = """
        SELECT * FROM (
            SELECT # AS number, role, version, sha256, CASE WHEN sha256 = :known# THEN NULL ELSE data END AS data,
                   created_at, updated_at
            FROM tuf_files WHERE gun = :gun# AND role = 'timestamp' AND deleted_at IS NULL
            ORDER BY version DESC LIMIT 1
        ) AS file#
    """
    text = sa.text(" UNION ALL ".join(one.replace("#", str(number)) for number in range(size)))
    columns = (_F.role, _F.version, _F.sha256, _F.data, _F.created_at, _F.updated_at)
    typed = text.columns(sa.column("number"), *(sa.column(column.name, column.type) for column in columns))
    return Query(lambda _: typed)


_NO_INDEX: Final[dict[Dialect, str]] = {
    "postgresql": "{} || ''",
    "mysql": "concat({}, '')",
    "sqlite": "+{}",
}
"""The value of a column, so spelled that no index leads to it."""


def _files(dialect: Dialect) -> sa.Executable:
    # Along (gun, role, version) it would walk through all versions; a digest leads to one row or two.
    gun, role = (
        sa.literal_column(_NO_INDEX[dialect].format(column), sa.String(255)) for column in ("gun", "role")
    )
    return sa.select(*_WHOLE).where(
        among(_F.sha256, "digests", dialect),
        among(gun, "guns", dialect),
        among(role, "roles", dialect),
        _VISIBLE,
    )


FILES: Final = Query(_files)
"""Whole files by digest. Of several questions at once it finds all answers and maybe more."""

FILE: Final = Query(
    lambda _: sa.select(*_WHOLE).where(
        _F.gun == sa.bindparam("gun"),
        _F.role == sa.bindparam("role"),
        _F.version == sa.bindparam("version"),
        _VISIBLE,
    )
)
"""One whole file by version."""

_LATEST_POSTGRES: Final = """
    WITH RECURSIVE latest AS (
        (
            SELECT role, version, sha256, length(data) FROM tuf_files
            WHERE gun = :gun AND deleted_at IS NULL ORDER BY role DESC, version DESC LIMIT 1
        )
        UNION ALL
        SELECT next.* FROM latest, LATERAL (
            SELECT role, version, sha256, length(data) FROM tuf_files
            WHERE gun = :gun AND role < latest.role AND deleted_at IS NULL ORDER BY role DESC, version DESC LIMIT 1
        ) AS next
    )
    SELECT * FROM latest
    """
_LATEST: Final = """
    WITH RECURSIVE roles(role) AS (
        SELECT min(role) FROM tuf_files WHERE gun = :gun
        UNION ALL
        SELECT (SELECT min(later.role) FROM tuf_files later WHERE later.gun = :gun AND later.role > roles.role)
        FROM roles WHERE roles.role IS NOT NULL
    )
    SELECT file.role, file.version, file.sha256, length(file.data)
    FROM roles JOIN tuf_files file ON file.id = (
        SELECT one.id FROM tuf_files one
        WHERE one.gun = :gun AND one.role = roles.role AND one.deleted_at IS NULL
        ORDER BY one.version DESC LIMIT 1
    )
    """

LATEST: Final = Query(
    lambda dialect: sa.text(_LATEST_POSTGRES if dialect == "postgresql" else _LATEST).bindparams(
        sa.bindparam("gun", type_=sa.String(255))
    )
)
"""The latest file of every role; the recursion steps from role to role instead of reading every version."""

COMMIT_POSTGRES: Final = _text(
    """
    WITH head AS (
        SELECT version, sha256 FROM tuf_files
        WHERE gun = :gun AND role = 'timestamp' AND deleted_at IS NULL ORDER BY version DESC LIMIT 1
    ), new AS (
        SELECT * FROM unnest(CAST(:roles AS text[]), CAST(:versions AS integer[]), CAST(:bodies AS bytea[]),
                             CAST(:digests AS text[])) AS new(role, version, data, sha256)
    ), stored AS (
        INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256)
        SELECT :now, :now, :gun, role, version, data, sha256 FROM new
        WHERE coalesce((SELECT version = :head AND trim(coalesce(sha256, '')) = :head_sha256 FROM head), :head = 0)
          AND NOT EXISTS (
              SELECT FROM new, LATERAL (
                  SELECT version FROM tuf_files WHERE gun = :gun AND role = new.role ORDER BY version DESC LIMIT 1
              ) AS latest
              WHERE latest.version >= new.version
          )
        RETURNING role, version, sha256
    ), announced AS (
        SELECT version, sha256, pg_advisory_xact_lock(:feed) AS turn FROM (
            SELECT max(version) FILTER (WHERE role = 'timestamp') AS version,
                   max(sha256) FILTER (WHERE role = 'timestamp') AS sha256
            FROM stored
        ) AS timestamps WHERE version IS NOT NULL OFFSET 0
    )
    INSERT INTO changefeed (created_at, gun, version, sha256, category)
    SELECT :now, :gun, version, sha256, 'update' FROM announced WHERE turn IS NOT NULL
    """,
    sa.bindparam("gun", type_=sa.String(255)),
    sa.bindparam("now", type_=sa.DateTime),
    sa.bindparam("head", type_=sa.Integer),
    sa.bindparam("head_sha256", type_=sa.Text),
    sa.bindparam("feed", type_=sa.BigInteger),
)
"""Compare with the head (0: there is none), check the versions, insert the files, take the feed's turn, announce.

The turn is taken when all files are inserted, and before the announcement draws its ID.
"""

HEAD: Final = Query(
    lambda _: (
        sa.select(_F.version, _F.sha256)
        .where(_F.gun == sa.bindparam("gun"), _F.role == sa.bindparam("role"), _VISIBLE)
        .order_by(_F.version.desc())
        .limit(1)
    )
)


@cache
def taken(size: int) -> Query:
    """One row if any of `size` roles, `role0`, ..., is stored in version `version0`, ..., or a higher one."""
    one_of = (
        sa.and_(_F.role == sa.bindparam(f"role{number}"), _F.version >= sa.bindparam(f"version{number}"))
        for number in range(size)
    )
    statement = sa.select(_F.id).where(_F.gun == sa.bindparam("gun"), sa.or_(*one_of)).limit(1)
    return Query(lambda _: statement)


INSERT: Final = _text(
    """
    INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256)
    VALUES (:now, :now, :gun, :role, :version, :data, :sha256)
    """,
    sa.bindparam("now", type_=sa.DateTime),
)
DELETE: Final = Query(lambda _: sa.delete(TUF_FILES).where(_F.gun == sa.bindparam("gun")))
ANNOUNCE: Final = _text(
    "INSERT INTO changefeed (created_at, gun, version, sha256, category) "
    "VALUES (:now, :gun, :version, :sha256, :category)",
    sa.bindparam("now", type_=sa.DateTime),
)


@cache
def changes(of: Literal["one", "all"], order: Literal["after", "before", "last"]) -> Query:
    """Records of the changefeed of one `gun` or of all; other orders than "after" `change_id` come newest first."""
    feed = CHANGEFEED.c
    query = sa.select(feed.id, feed.created_at, feed.gun, feed.version, feed.sha256, feed.category)
    if of == "one":
        query = query.where(feed.gun == sa.bindparam("gun"))
    if order == "after":
        query = query.where(feed.id > sa.bindparam("change_id")).order_by(feed.id)
    elif order == "before":
        query = query.where(feed.id < sa.bindparam("change_id"))
    if order != "after":
        query = query.order_by(feed.id.desc())
    limited = query.limit(sa.bindparam("records", type_=sa.BigInteger))
    return Query(lambda _: limited)


_BELOW: Final = (
    _VISIBLE,
    sa.func.substr(_F.gun, 1, sa.bindparam("length", type_=sa.Integer))
    == sa.bindparam("prefix", type_=sa.Text),
)

TOTALS: Final = Query(
    lambda _: (
        sa.select(_F.gun, sa.func.count(), sa.func.sum(sa.func.length(_F.data)))
        .where(*_BELOW)
        .group_by(_F.gun)
    )
)
"""Rows and bytes of every GUN that begins with `prefix`, which has `length` characters."""


def _latest_below(_: Dialect) -> sa.Executable:
    newest = (
        sa.select(_F.gun, _F.role, sa.func.max(_F.version).label("version"))
        .where(*_BELOW)
        .group_by(_F.gun, _F.role)
        .subquery()
    )
    return sa.select(_F.gun, _F.role, _F.version, _F.sha256, sa.func.length(_F.data)).join(
        newest,
        sa.and_(_F.gun == newest.c.gun, _F.role == newest.c.role, _F.version == newest.c.version),
    )


LATEST_BELOW: Final = Query(_latest_below)
"""The latest file of every role of every GUN that begins with `prefix`."""

PING: Final = Query(lambda _: sa.select(_F.id).limit(1))
