"""Notary's own table of signing keys: created, or adopted from a Notary 0.7.0 with every row kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "signer_0001"
down_revision = None
branch_labels = None
depends_on = None

_COLUMNS = (
    "id", "created_at", "updated_at", "deleted_at", "key_id", "encryption_alg", "keywrap_alg", "algorithm",
    "passphrase_alias", "public", "private", "gun", "role", "last_used",
)  # fmt: skip


def upgrade() -> None:
    """Create or adopt the table, and the index that finds the unused key of a repository."""
    if not adopt.exists("private_keys", _COLUMNS):
        _create()
    adopt.ensure_exact("private_keys", "gun")
    adopt.ensure_unique("private_keys_key_id_key", "private_keys", ["key_id"])
    adopt.ensure_index("private_keys_gun_role_idx", "private_keys", ["gun", "role"])


def _create() -> None:
    op.create_table(
        "private_keys",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("created_at", adopt.TIME),
        sa.Column("updated_at", adopt.TIME),
        sa.Column("deleted_at", adopt.TIME),
        sa.Column("key_id", sa.String(255), nullable=False),
        sa.Column("encryption_alg", sa.String(255), nullable=False),
        sa.Column("keywrap_alg", sa.String(255), nullable=False),
        sa.Column("algorithm", sa.String(50), nullable=False),
        sa.Column("passphrase_alias", sa.String(50), nullable=False),
        sa.Column("public", sa.LargeBinary, nullable=False),
        sa.Column("private", sa.LargeBinary, nullable=False),
        sa.Column("gun", adopt.NAME, nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("last_used", adopt.TIME),
        sa.UniqueConstraint("key_id", name="private_keys_key_id_key"),
        sa.UniqueConstraint("key_id", "algorithm", name="private_keys_key_id_algorithm_key"),
        **adopt.TABLE_OPTIONS,
    )
    adopt.tell("created the table private_keys")
