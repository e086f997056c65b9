"""Tables of our own beside Notary's: the audit log, where it is kept in the database, and the noted ends of all chains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt
from sqlalchemy.dialects import mysql

revision = "signer_0002"
down_revision = "signer_0001"
branch_labels = None
depends_on = None

# Names that differ in case alone are different writers, whatever the database's default.
_WRITER = sa.String(128).with_variant(
    mysql.VARCHAR(128, charset="utf8", collation="utf8_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    """Create them. MySQL keeps what it made of an upgrade that was interrupted, so one may be there."""
    if not adopt.exists("notary_signer_audit", ("writer", "sequence", "record")):
        op.create_table(
            "notary_signer_audit",
            sa.Column("writer", _WRITER, primary_key=True),
            sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("record", sa.Text, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell("created the table notary_signer_audit")
    if not adopt.exists("notary_signer_audit_heads", ("writer", "sequence", "hash", "noted_at")):
        op.create_table(
            "notary_signer_audit_heads",
            sa.Column("writer", _WRITER, primary_key=True),
            sa.Column("sequence", sa.BigInteger, nullable=False),
            sa.Column("hash", sa.String(64), nullable=False),
            sa.Column("noted_at", adopt.TIME),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell("created the table notary_signer_audit_heads")
