"""Help for migrations that create a table, or adopt the one that an older Notary made, with every row kept."""

from __future__ import annotations

from collections.abc import Callable, Collection

import sqlalchemy as sa
from alembic import op

from notary_common.migrate import SchemaError


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
