"""What tests ask of a private database server, whichever it is."""

from __future__ import annotations

from tests.support.mariadb import MariaServer
from tests.support.postgres import PostgresCluster

DatabaseServer = PostgresCluster | MariaServer


def backend(server: DatabaseServer) -> str:
    """As `storage.backend` names it."""
    return "postgres" if isinstance(server, PostgresCluster) else "mysql"


def database_name(url: str) -> str:
    """The database in one of the server's addresses."""
    return url.rpartition("/")[2].partition("?")[0]


def waiting(server: DatabaseServer, database: str) -> int:
    """How many sessions of `database` wait for a turn."""
    if isinstance(server, PostgresCluster):
        return int(
            server.sql(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
                f"WHERE locktype = 'advisory' AND NOT granted AND datname = '{database}'"
            )
        )
    return int(
        server.sql(
            "SELECT count(*) FROM information_schema.processlist "
            f"WHERE state = 'User lock' AND db = '{database}'"
        )
    )
