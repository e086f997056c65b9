"""A table of our own beside Notary's: keys that no root lists any more, until the signer has retired them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0004"
down_revision = "server_0003"
branch_labels = None
depends_on = None

TABLE = "notary_server_retirements"


def upgrade() -> None:
    """Create it. MySQL keeps what it made of an upgrade that was interrupted, so it may be there."""
    if not adopt.exists(TABLE, ("gun", "key_id", "due_ns", "tries", "holder", "until_ns")):
        op.create_table(
            TABLE,
            # Names that differ in case alone are different repositories, whatever the database's default.
            sa.Column("gun", adopt.NAME, primary_key=True),
            sa.Column("key_id", sa.CHAR(64), primary_key=True),
            sa.Column("due_ns", sa.BigInteger, nullable=False),
            sa.Column("tries", sa.Integer, nullable=False),
            sa.Column("holder", sa.String(32), nullable=False),
            sa.Column("until_ns", sa.BigInteger, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell(f"created the table {TABLE}")
    adopt.ensure_index("ix_notary_server_retirements_due", TABLE, ["due_ns"])
