"""Tables of our own beside Notary's: what ends when, and who looks for changes at the moment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0005"
down_revision = "server_0004"
branch_labels = None
depends_on = None

EXPIRIES = "notary_server_expiries"
SCANS = "notary_server_scans"


def upgrade() -> None:
    """Create them. MySQL keeps what it made of an upgrade that was interrupted, so they may be there."""
    if not adopt.exists(EXPIRIES, ("gun", "kind", "role", "ends_ns", "newest")):
        op.create_table(
            EXPIRIES,
            # Names that differ in case alone are different repositories, whatever the database's default.
            sa.Column("gun", adopt.NAME, primary_key=True),
            sa.Column("kind", sa.String(20), primary_key=True),
            sa.Column("role", adopt.NAME, nullable=False),
            sa.Column("ends_ns", sa.BigInteger, nullable=False),
            sa.Column("newest", sa.BigInteger, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell(f"created the table {EXPIRIES}")
    adopt.ensure_index("ix_notary_server_expiries_ends", EXPIRIES, ["ends_ns"])
    if not adopt.exists(SCANS, ("name", "holder", "until_ns", "finished_ns")):
        op.create_table(
            SCANS,
            sa.Column("name", sa.String(32), primary_key=True),
            sa.Column("holder", sa.String(32), nullable=False),
            sa.Column("until_ns", sa.BigInteger, nullable=False),
            sa.Column("finished_ns", sa.BigInteger, nullable=False),
            **adopt.TABLE_OPTIONS,
        )
        adopt.tell(f"created the table {SCANS}")
    scans = sa.table(SCANS, *(sa.column(name) for name in ("name", "holder", "until_ns", "finished_ns")))
    bind = op.get_bind()
    if bind.scalar(sa.select(sa.func.count()).where(scans.c.name == "expiries")) == 0:
        bind.execute(scans.insert().values(name="expiries", holder="", until_ns=0, finished_ns=0))
