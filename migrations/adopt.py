"""Help for migrations that create a table, or adopt the one that an older Notary made, with every row kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from notary_common.migrate import SchemaError

TABLE_OPTIONS: Final[Mapping[str, str]] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8"}
"""For every table that is created, as Notary's own migrations on MySQL."""
NAME: Final = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8", collation="utf8_bin"), "mysql", "mariadb"
)
"""Of a repository. MySQL's default takes `App` and `app` for the same."""
TIME: Final = sa.DateTime().with_variant(mysql.TIMESTAMP(), "mysql", "mariadb")
FILE: Final = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
"""Up to 4 GiB; MySQL's plain BLOB ends at 64 KiB."""


def tell(line: str) -> None:
    """Report one line to whoever runs the upgrade."""
    config = op.get_context().config
    progress: Callable[[str], None] | None = None if config is None else config.attributes.get("progress")
    if progress is not None:
        progress(line)


def exists(table: str, columns: Collection[str]) -> bool:
    """Whether `table` is there; then it must have at least `columns`.

    Raises:
        SchemaError: it lacks some.
    """
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return False
    present = {column["name"] for column in inspector.get_columns(table)}
    missing = sorted(set(columns) - present)
    if missing:
        raise SchemaError(
            f"the table {table} has no column {', '.join(missing)}: "
            "run the migrations of Notary 0.7.0 on this database first"
        )
    rows = op.get_bind().scalar(sa.select(sa.func.count()).select_from(sa.table(table)))
    tell(f"adopted the table {table} with {rows} rows")
    return True


def ensure_exact(table: str, column: str) -> None:
    """On MySQL, make an adopted column of names tell `App` from `app`, as the other databases do, and its indexes, too.

    Notary's tables there compare without regard to case and accents: two repositories would share their versions.
    """
    bind = op.get_bind()
    if bind.dialect.name not in {"mysql", "mariadb"}:
        return
    charset, collation = bind.execute(
        sa.text(
            "SELECT character_set_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = :table AND column_name = :column"
        ),
        {"table": table, "column": column},
    ).one()
    if collation.endswith("_bin"):
        return
    exact = mysql.VARCHAR(255, charset=charset, collation=f"{charset}_bin")
    op.alter_column(table, column, type_=exact, existing_nullable=False)
    tell(f"made {column} of {table} compare exactly")


def ensure_index(name: str, table: str, columns: list[str]) -> None:
    """Create an index unless one that begins with `columns` is there under any name."""
    inspector = sa.inspect(op.get_bind())
    if any(index["column_names"][: len(columns)] == columns for index in inspector.get_indexes(table)):
        return
    op.create_index(name, table, columns)
    tell(f"created the index {name}")


def ensure_unique(name: str, table: str, columns: list[str]) -> None:
    """Create a unique index unless `columns` are unique already.

    Raises:
        SchemaError: rows are there that contradict it.
    """
    inspector = sa.inspect(op.get_bind())
    constraints = [constraint["column_names"] for constraint in inspector.get_unique_constraints(table)]
    indexes = [index["column_names"] for index in inspector.get_indexes(table) if index["unique"]]
    if any(sorted(map(str, found)) == sorted(columns) for found in constraints + indexes):
        return
    listed: list[sa.ColumnElement[object]] = [sa.column(column) for column in columns]
    twice = (
        sa.select(sa.literal(1)).select_from(sa.table(table)).group_by(*listed).having(sa.func.count() > 1)
    )
    if op.get_bind().execute(twice.limit(1)).first() is not None:
        raise SchemaError(
            f"the table {table} holds rows with the same {', '.join(columns)}; remove one of each"
        )
    op.create_index(name, table, columns, unique=True)
    tell(f"made {', '.join(columns)} of {table} unique")
