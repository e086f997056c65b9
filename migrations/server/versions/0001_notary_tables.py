"""Notary's own server tables: created, or adopted from a Notary 0.7.0 with every row kept.

A database from before the changefeed gets one, filled with the stored timestamps in their order, as Notary's
own migration did. golang-migrate's `schema_migrations` is left alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from notary_migrations import adopt

revision = "server_0001"
down_revision = None
branch_labels = None
depends_on = None

_FILE_COLUMNS = (
    "id", "created_at", "updated_at", "deleted_at", "gun", "role", "version", "data", "sha256",
)  # fmt: skip
_CHANGE_COLUMNS = ("id", "created_at", "gun", "version", "sha256", "category")


def upgrade() -> None:
    """Create or adopt the three tables."""
    had_files = adopt.exists("tuf_files", _FILE_COLUMNS)
    if not had_files:
        _create_files()
    adopt.ensure_exact("tuf_files", "gun")
    adopt.ensure_unique("tuf_files_gun_role_version_key", "tuf_files", ["gun", "role", "version"])
    adopt.ensure_index("tuf_files_sha256_idx", "tuf_files", ["sha256"])
    _ensure_categories()
    if not adopt.exists("changefeed", _CHANGE_COLUMNS):
        _create_changefeed()
    if had_files and _no_changes():
        _fill_changefeed()
    adopt.ensure_exact("changefeed", "gun")
    adopt.ensure_index("idx_changefeed_gun", "changefeed", ["gun"])


def _create_files() -> None:
    op.create_table(
        "tuf_files",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("created_at", adopt.TIME),
        sa.Column("updated_at", adopt.TIME),
        sa.Column("deleted_at", adopt.TIME),
        sa.Column("gun", adopt.NAME, nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", adopt.FILE, nullable=False),
        sa.Column("sha256", sa.CHAR(64)),
        sa.UniqueConstraint("gun", "role", "version", name="tuf_files_gun_role_version_key"),
        **adopt.TABLE_OPTIONS,
    )
    adopt.tell("created the table tuf_files")


def _ensure_categories() -> None:
    if not adopt.exists("change_category", ("category",)):
        op.create_table(
            "change_category", sa.Column("category", sa.String(20), primary_key=True), **adopt.TABLE_OPTIONS
        )
        adopt.tell("created the table change_category")
    table = sa.table("change_category", sa.column("category", sa.String))
    present = set(op.get_bind().scalars(sa.select(table.c.category)))
    for category in ("update", "deletion"):
        if category not in present:
            op.get_bind().execute(table.insert().values(category=category))


def _create_changefeed() -> None:
    op.create_table(
        "changefeed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("created_at", adopt.TIME, server_default=sa.func.current_timestamp()),
        sa.Column("gun", adopt.NAME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.CHAR(64)),
        sa.Column(
            "category",
            sa.String(20),
            sa.ForeignKey("change_category.category", name="changefeed_category_fkey"),
            nullable=False,
            server_default="update",
        ),
        **adopt.TABLE_OPTIONS,
    )
    adopt.tell("created the table changefeed")


def _no_changes() -> bool:
    """True as well where an upgrade was interrupted on MySQL, which keeps the table that it had created."""
    return op.get_bind().execute(sa.text("SELECT 1 FROM changefeed LIMIT 1")).first() is None


def _fill_changefeed() -> None:
    filled = op.get_bind().execute(
        sa.text(
            "INSERT INTO changefeed (created_at, gun, version, sha256) "
            "SELECT created_at, gun, version, sha256 FROM tuf_files "
            "WHERE role = 'timestamp' AND deleted_at IS NULL ORDER BY created_at, id"
        )
    )
    adopt.tell(f"copied {filled.rowcount} stored timestamps into changefeed")
