"""Tables of our own beside Notary's: how far each webhook has come, and what could not be delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0007"
down_revision = "server_0006"
branch_labels = None
depends_on = None

WEBHOOKS = "notary_server_webhooks"
DEAD_LETTERS = "notary_server_dead_letters"


def upgrade() -> None:
    """Create them. MySQL keeps what it made of an upgrade that was interrupted, so they may be there."""
    if not adopt.exists(
        WEBHOOKS, ("name", "change_id", "warned_ns", "tries", "due_ns", "holder", "until_ns")
    ):
        op.create_table(
            WEBHOOKS,
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("change_id", sa.BigInteger, nullable=False),
            sa.Column("warned_ns", sa.BigInteger, nullable=False),
            sa.Column("tries", sa.Integer, nullable=False),
            sa.Column("due_ns", sa.BigInteger, nullable=False),
            sa.Column("holder", sa.String(32), nullable=False),
            sa.Column("until_ns", sa.BigInteger, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell(f"created the table {WEBHOOKS}")
    if not adopt.exists(DEAD_LETTERS, ("id", "webhook", "event_id", "body", "reason", "failed_ns")):
        op.create_table(
            DEAD_LETTERS,
            # SQLite counts up by itself in this type alone.
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
            sa.Column("webhook", sa.String(64), nullable=False),
            sa.Column("event_id", sa.String(255), nullable=False),
            sa.Column("body", adopt.FILE, nullable=False),
            sa.Column("reason", sa.String(255), nullable=False),
            sa.Column("failed_ns", sa.BigInteger, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell(f"created the table {DEAD_LETTERS}")
