"""Changefeed IDs of 64 bits, and on PostgreSQL files compressed with LZ4. Notary 0.7.0 goes on as before.

SQLite's integers have 64 bits already. LZ4 takes a fraction of the time of PostgreSQL's own method, which is most of
the price of storing a file of ten thousand tags; stored rows stay as they are and are read alike.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0002"
down_revision = "server_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen `changefeed.id`, and on PostgreSQL its sequence; choose the compression."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        return
    [column] = [one for one in sa.inspect(op.get_bind()).get_columns("changefeed") if one["name"] == "id"]
    if not isinstance(column["type"], sa.BigInteger):
        _widen(dialect)
    if dialect == "postgresql":
        _compress()


def _widen(dialect: str) -> None:
    if dialect == "postgresql":
        op.execute("ALTER TABLE changefeed ALTER COLUMN id TYPE bigint")
        sequence = op.get_bind().scalar(sa.text("SELECT pg_get_serial_sequence('changefeed', 'id')"))
        if sequence is not None:
            op.execute(f"ALTER SEQUENCE {sequence} AS bigint")
    else:
        op.execute("ALTER TABLE changefeed MODIFY id bigint NOT NULL AUTO_INCREMENT")
    adopt.tell("widened changefeed.id to 64 bits")


def _compress() -> None:
    known = op.get_bind().scalar(
        sa.text("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    )
    if known:  # PostgreSQL 14 and later, where it was built with it
        op.execute("ALTER TABLE tuf_files ALTER COLUMN data SET COMPRESSION lz4")
        adopt.tell("chose LZ4 compression for new rows of tuf_files")
