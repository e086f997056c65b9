"""A table of our own beside Notary's: who renews which repository at the moment, and what rests until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt
from sqlalchemy.dialects import mysql

revision = "server_0003"
down_revision = "server_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it. MySQL keeps what it made of an upgrade that was interrupted, so it may be there."""
    columns = ("gun", "holder", "until_ns")
    if adopt.exists("notary_server_renewals", columns):
        return
    # Names that differ in case alone are different repositories, whatever the database's default.
    gun = sa.String(255).with_variant(
        mysql.VARCHAR(255, charset="utf8", collation="utf8_bin"), "mysql", "mariadb"
    )
    op.create_table(
        "notary_server_renewals",
        sa.Column("gun", gun, primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=False),
    )
    adopt.tell("created the table notary_server_renewals")
