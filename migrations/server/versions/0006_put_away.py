"""A table of our own beside Notary's: the rows of repositories that an operator has put away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0006"
down_revision = "server_0005"
branch_labels = None
depends_on = None

TABLE = "notary_server_put_away"


def upgrade() -> None:
    """Create it. MySQL keeps what it made of an upgrade that was interrupted, so it may be there."""
    columns = ("gun", "put_away_ns", "role", "version", "created_at", "updated_at", "data", "sha256")
    if adopt.exists(TABLE, columns):
        return
    op.create_table(
        TABLE,
        # Names that differ in case alone are different repositories, whatever the database's default.
        sa.Column("gun", adopt.NAME, primary_key=True),
        sa.Column("put_away_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("role", adopt.NAME, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", adopt.TIME),
        sa.Column("updated_at", adopt.TIME),
        sa.Column("data", adopt.FILE, nullable=False),
        sa.Column("sha256", sa.CHAR(64)),
        **adopt.TABLE_OPTIONS,
    )
    adopt.tell(f"created the table {TABLE}")
