"""Notary's own server tables (docs/reference/protocol.md, 22), as the store's statements name them.

The migrations make them; this only describes what is read and written.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()

TUF_FILES: Final = sa.Table(
    "tuf_files",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("gun", sa.String(255), nullable=False),
    sa.Column("role", sa.String(255), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.CHAR(64)),
)

CHANGEFEED: Final = sa.Table(
    "changefeed",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("gun", sa.String(255), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sha256", sa.CHAR(64)),
    sa.Column("category", sa.String(20), nullable=False),
)

UPDATE: Final = "update"
DELETION: Final = "deletion"
MAX_CHANGE_ID: Final = 2**63 - 1
"""The largest `changefeed.id`."""
