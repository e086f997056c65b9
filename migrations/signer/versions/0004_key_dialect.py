"""In which dialect a key signs, for good from its first signature on. Empty: it has never signed, or not since this is noted.

One more column that may be empty at the end of Notary's own table. Rows that are there keep every value.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "signer_0004"
down_revision = "signer_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is missing. MySQL keeps what it made of an upgrade that was interrupted."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("private_keys")}
    if "dialect" not in present:
        op.add_column("private_keys", sa.Column("dialect", sa.String(16), nullable=True))
        adopt.tell("added the column dialect to private_keys")
