"""Notary's `storage.backend` and `storage.db_url`, as lib/pq and go-sqlite3 read them."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from notary_common.database import DatabaseUrlError, PostgresTarget, SqliteTarget, parse_url
from notary_common.database.engine import create_engine

BASE = Path("/etc/notary")
SECRET = "hunter2-very-secret"


def postgres(url: str, **environ: str) -> PostgresTarget:
    """`url` read without the environment of the test."""
    target = parse_url("postgres", url, BASE, environ)
    assert isinstance(target, PostgresTarget)
    return target


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://server@db:5432/notaryserver?sslmode=disable",
            ("db", 5432, "server", "notaryserver", "disable"),
        ),
        ("postgresql://server@db/x", ("db", 5432, "server", "x", "require")),
        (
            "postgres://server@DB.example/x?sslmode=verify-full",
            ("DB.example", 5432, "server", "x", "verify-full"),
        ),
        (
            "postgres://server@[2001:db8::1]:6432/x?sslmode=allow",
            ("2001:db8::1", 6432, "server", "x", "allow"),
        ),
        ("postgres://a%40b:p%2Fw@h/d%20b?sslmode=prefer", ("h", 5432, "a@b", "d b", "prefer")),
        (
            "postgres:///x?host=/run/postgresql&user=u&port=5433",
            ("/run/postgresql", 5433, "u", "x", "disable"),
        ),
        ("postgres://u@h?dbname=other&sslmode=verify-ca", ("h", 5432, "u", "other", "verify-ca")),
        ("postgres://u@h", ("h", 5432, "u", "u", "require")),
        ("postgres://u@h/x?sslmode=", ("h", 5432, "u", "x", "require")),
        ("host=h user=u dbname=x sslmode=disable port=1", ("h", 1, "u", "x", "disable")),
        (r"host = h  user='a b' dbname=it\'s", ("h", 5432, "a b", "it's", "require")),
        (r"user='it\'s \\ me' dbname=x", ("localhost", 5432, r"it's \ me", "x", "require")),
    ],
)
def test_postgres_addresses(url: str, expected: tuple[object, ...]) -> None:
    """Host, port, user, database and sslmode, with lib/pq's defaults."""
    target = postgres(url)
    assert (target.host, target.port, target.user, target.database, target.sslmode) == expected


def test_passwords_are_read_and_never_shown() -> None:
    """Encoded and plain passwords in both forms; neither text form of the target has them."""
    for url in (
        f"postgres://u:{SECRET}@h/x",
        f"host=h user=u dbname=x password='{SECRET}'",
        f"postgres://u@h/x?password={SECRET}",
    ):
        target = postgres(url)
        assert target.password == SECRET
        assert SECRET not in repr(target) + str(target) + repr(create_engine(target)) + str(
            create_engine(target).url
        )
    assert postgres("postgres://u:p%2Fw%25@h/x").password == "p/w%"
    assert postgres("postgres://u:p@w@h/x").password == "p@w"
    assert postgres("postgres://u@h/x", PGPASSWORD=SECRET).password == SECRET


def test_the_environment_fills_gaps_only() -> None:
    """PGHOST and the like count where the address says nothing."""
    environ = {"PGHOST": "e", "PGUSER": "eu", "PGPORT": "7", "PGSSLMODE": "disable", "PGDATABASE": "ed"}
    target = postgres("postgres:///?sslmode=verify-ca", **environ)
    assert (target.host, target.user, target.port, target.database, target.sslmode) == (
        "e",
        "eu",
        7,
        "ed",
        "verify-ca",
    )
    target = postgres("postgres://u@h:9/x", **environ)
    assert (target.host, target.user, target.port, target.database, target.sslmode) == (
        "h",
        "u",
        9,
        "x",
        "disable",
    )
    assert postgres("host=h").user == getpass.getuser()


def test_files_count_from_the_configuration_file() -> None:
    """Relative certificate paths are made absolute; absolute ones stay."""
    target = postgres(
        "postgres://u@h/x?sslmode=verify-full&sslrootcert=ca.pem&sslcert=/c.pem&sslkey=../k.pem"
    )
    assert (target.sslrootcert, target.sslcert) == (BASE / "ca.pem", Path("/c.pem"))
    assert target.sslkey == BASE / "../k.pem"


def test_run_time_parameters_and_timeouts() -> None:
    """What PostgreSQL takes per session goes there; connect_timeout counts, and 0 means the default."""
    target = postgres("postgres://u@h/x?connect_timeout=9&search_path=a,b&statement_timeout=250&TimeZone=UTC")
    assert target.connect_timeout == 9
    assert target.settings == {
        "search_path": "a,b",
        "statement_timeout": "250",
        "timezone": "UTC",
        "application_name": "notary",
    }
    assert postgres("postgres://u@h/x?connect_timeout=0").connect_timeout == 5
    assert postgres("postgres://u@h/x?fallback_application_name=me").settings["application_name"] == "me"
    assert postgres("postgres://u@h/x?client_encoding=UTF8&binary_parameters=yes").settings == {
        "application_name": "notary"
    }


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        (f"mysql://u:{SECRET}@h/x", "must begin with postgres://"),
        (f"postgres://u:{SECRET}@h:port/x", "host or port"),
        (f"postgres://u:{SECRET}@h:99999/x", "host or port"),
        (f"postgres://u:{SECRET}%@h/x", "password holds a '%'"),
        (f"postgres://u:{SECRET}%ff@h/x", "password is not UTF-8"),
        (f"postgres://u:{SECRET}@h1,h2/x", "one host"),
        (f"postgres://u:{SECRET}@[h/x", "host or port"),
        (f"postgres://u:{SECRET}@h/x?sslmode=verify_full", "sslmode must be one of disable, allow"),
        (f"postgres://u:{SECRET}@h/x?sslmod=disable", "parameter 'sslmod' is unknown"),
        (f"postgres://u:{SECRET}@h/x?connect_timeout=5s", "connect_timeout must be a number"),
        (f"postgres://u:{SECRET}@h/x?sslcert=c.pem", "sslcert and sslkey go together"),
        (f"postgres://u:{SECRET}@h/x?sslmode=prefer&sslrootcert=c.pem", "cannot promise TLS"),
        (f"postgres://u:{SECRET}@h/x?client_encoding=latin1", "client_encoding cannot be changed"),
        (f"postgres://u:{SECRET}@h/x?search_path=%zz", "begins no escape"),
        (f"u:{SECRET}@tcp(h:3306)/x?parseTime=True", "neither postgres://"),
        (f"password='{SECRET} host=h", "neither postgres://"),
        (f"host=h password={SECRET} foo", "neither postgres://"),
        (f"host=h password={SECRET} tls=on", "parameter 'tls' is unknown"),
        (f"postgres://u:{SECRET}@h/x\0", "NUL"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_without_the_address(url: str, why: str) -> None:
    """Each refusal names the part; none repeats the password."""
    with pytest.raises(DatabaseUrlError) as caught:
        postgres(url)
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("backend", "why"),
    [("rethinkdb", "not supported"), ("sqlite", "unknown"), ("", "unknown")],
)
def test_other_backends_are_refused_with_what_to_do(backend: str, why: str) -> None:
    """Notary's other backends and misspelled ones say which can be used."""
    with pytest.raises(DatabaseUrlError, match=why) as caught:
        parse_url(backend, f"u:{SECRET}@tcp(h)/x", BASE)
    assert "'postgres'" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("notary.db", BASE / "notary.db"),
        ("data/notary.db?_busy_timeout=2500", BASE / "data/notary.db"),
        ("/var/lib/notary.db", Path("/var/lib/notary.db")),
        ("file:notary.db?cache=shared&mode=rwc", BASE / "notary.db"),
        ("file:/var/lib/a%20b.db", Path("/var/lib/a b.db")),
        ("file:///var/lib/n.db?_journal_mode=WAL&_sync=full&_fk=on&_txlock=immediate", Path("/var/lib/n.db")),
        ("file://localhost/var/lib/n.db", Path("/var/lib/n.db")),
        ("100%.db", BASE / "100%.db"),
        (":memory:", None),
        ("file::memory:?cache=shared", None),
        ("file:x?mode=memory&cache=shared", None),
    ],
)
def test_sqlite_names(url: str, path: Path | None) -> None:
    """Plain paths, file: addresses and memory, relative to the configuration file."""
    target = parse_url("sqlite3", url, BASE)
    assert isinstance(target, SqliteTarget)
    assert target.path == path
    assert target.in_memory == (path is None)
    assert target.busy_timeout == (2.5 if "2500" in url else 5)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("x.db?mode=ro", "mode can only be"),
        ("x.db?_journal_mode=off", "_journal_mode can only be wal"),
        ("x.db?_sync=0", "_sync can only be"),
        ("x.db?_busy_timeout=soon", "milliseconds"),
        ("x.db?vfs=unix", "parameter 'vfs' is unknown"),
        ("file://host/x.db", "cannot name a host"),
        ("file:", "names no SQLite file"),
        ("postgres://u:secret@h/db", "^storage.db_url is the address of another database(?!.*secret)"),
        ("u:secret@tcp(h:3306)/db", "^storage.db_url is the address of another database(?!.*secret)"),
        ("data/", "names no SQLite file"),
        ("file:%zz", "begins no escape"),
    ],
)
def test_sqlite_names_that_cannot_be_taken(url: str, why: str) -> None:
    """What would weaken durability, or is not understood, is refused with its name."""
    with pytest.raises(DatabaseUrlError, match=why):
        parse_url("sqlite3", url, BASE)


def test_memory_needs_no_address() -> None:
    """Each is a database of its own, the same for all engines of one target."""
    first, second = parse_url("memory", "", BASE), parse_url("memory", "", BASE)
    assert first.in_memory
    assert first != second
