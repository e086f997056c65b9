"""What this signer notes of its keys besides Notary's columns: the highest version signed, and when a state began.

Columns that may be empty, at the end of Notary's own table: its signer names the columns it writes and passes over those it
does not know. Rows that are there keep every value.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "signer_0003"
down_revision = "signer_0002"
branch_labels = None
depends_on = None

_ADDED: dict[str, Any] = {
    "highest_version": sa.Integer(),
    "activated_at": adopt.TIME,
    "destroyed_at": adopt.TIME,
}


def upgrade() -> None:
    """Add what is missing. MySQL keeps what it made of an upgrade that was interrupted."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("private_keys")}
    for name, kind in _ADDED.items():
        if name not in present:
            op.add_column("private_keys", sa.Column(name, kind, nullable=True))
            adopt.tell(f"added the column {name} to private_keys")
