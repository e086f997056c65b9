"""Statements written once with SQLAlchemy, and spelled for a database when it first asks for them.

SQLite and MySQL execute them through SQLAlchemy. PostgreSQL gets the finished text and its driver the bare values:
SQLAlchemy's own machinery costs several times what the driver does (docs/adr/0011-two-ways-to-a-database.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg as postgresql_asyncpg

Dialect = Literal["postgresql", "mysql", "sqlite"]

_POSTGRES: Final = postgresql_asyncpg.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped


class Query:
    """One statement with named parameters. Rows come as sequences in the order of the selected columns.

    Not for use before the program is fully imported: `build` is called at the first execution, once per dialect.
    """

    def __init__(self, build: Callable[[Dialect], sa.Executable]) -> None:
        """`build` gives the statement for a dialect; most give the same for all."""
        self._build = build
        self._clauses: dict[Dialect, sa.Executable] = {}
        self._text = ""
        self._names: tuple[str, ...] = ()
        self._constants: Mapping[str, Any] = {}

    def clause(self, dialect: Dialect) -> sa.Executable:
        """The statement for SQLAlchemy to execute."""
        made = self._clauses.get(dialect)
        if made is None:
            made = self._clauses[dialect] = self._build(dialect)
        return made

    def postgres(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text with `$1`, `$2`, ... and the arguments in that order.

        Raises:
            KeyError: a parameter has no value.
        """
        if not self._text:
            self._spell()
        constants = self._constants
        return self._text, [values[name] if name in values else constants[name] for name in self._names]

    def _spell(self) -> None:
        compiled: Any = self.clause("postgresql").compile(dialect=_POSTGRES)  # type: ignore[attr-defined]
        self._names = tuple(compiled.positiontup or ())
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._text = str(compiled)


def among(column: sa.ColumnElement[Any], name: str, dialect: Dialect) -> sa.ColumnElement[bool]:
    """Whether `column` equals one of the list bound as `name`."""
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(column.type)))
    return column.in_(sa.bindparam(name, expanding=True))
