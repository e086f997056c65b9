"""Database addresses: Notary's `storage.backend` and `storage.db_url`, as the Go programs read them, to one value.

PostgreSQL takes lib/pq's two forms, `postgres://user:password@host:port/database?sslmode=...` and
`host=... user=... dbname=...`, with lib/pq's defaults: `localhost`, 5432, TLS required but the server's
certificate not verified unless `sslmode` is `verify-ca` or `verify-full` or `sslrootcert` is given. What the
address leaves out comes from PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLCERT, PGSSLKEY,
PGSSLROOTCERT, PGCONNECT_TIMEOUT and PGAPPNAME.

MySQL and MariaDB take go-sql-driver's form (`mysql_dsn`).

SQLite takes mattn/go-sqlite3's forms: a plain path, `file:PATH`, both with `?name=value&...`, and `:memory:`.

Relative paths count from the directory of the configuration file. No error text repeats the address: it may
hold a password.
"""

from __future__ import annotations

import getpass
import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from .errors import DatabaseUrlError
from .escapes import decode, parameters
from .mysql_dsn import MysqlTarget, parse_dsn

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

SSL_MODES: Final[tuple[SslMode, ...]] = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_CONNECT_TIMEOUT: Final = 5.0
"""Seconds to establish a connection when the address names no `connect_timeout`, or 0."""
DEFAULT_BUSY_TIMEOUT: Final = 5.0
"""Seconds a SQLite statement waits for another writer."""

_ENVIRONMENT: Final = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGDATABASE": "dbname",
    "PGSSLMODE": "sslmode",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLROOTCERT": "sslrootcert",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGAPPNAME": "application_name",
}
_ADDRESS: Final = {"host", "port", "user", "password", "dbname"}
_TLS: Final = {"sslmode", "sslcert", "sslkey", "sslrootcert"}
_WITHOUT_EFFECT: Final = {"binary_parameters", "disable_prepared_binary_result"}
_RUN_TIME: Final = {
    "application_name",
    "client_encoding",
    "datestyle",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "options",
    "search_path",
    "statement_timeout",
    "timezone",
    "work_mem",
}
_OTHER_DATABASE: Final = re.compile(r"^(?!file:)[A-Za-z][A-Za-z0-9+.-]*://|@[a-z0-9]*\(")
"""What PostgreSQL's and MySQL's addresses have and no path does: `postgres://`, `user:password@tcp(host)/name`."""
_SQLITE_ACCEPTED: Final[Mapping[str, frozenset[str] | None]] = {
    # Values that ask for what this program does anyway; None: any value, without effect here.
    "cache": frozenset({"shared", "private"}),
    "mode": frozenset({"rwc", "memory"}),
    "_foreign_keys": frozenset({"1", "on", "true", "yes"}),
    "_fk": frozenset({"1", "on", "true", "yes"}),
    "_journal_mode": frozenset({"wal"}),
    "_journal": frozenset({"wal"}),
    "_synchronous": frozenset({"2", "full"}),
    "_sync": frozenset({"2", "full"}),
    "_txlock": frozenset({"immediate", "deferred"}),
    "_loc": None,
}


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A PostgreSQL database.

    Attributes:
        host: name, address, or the absolute directory of a Unix socket.
        settings: run-time parameters for the session.
        connect_timeout: seconds.
    """

    host: str
    port: int
    user: str
    database: str
    password: str | None = field(repr=False)
    sslmode: SslMode
    sslrootcert: Path | None
    sslcert: Path | None
    sslkey: Path | None
    connect_timeout: float
    settings: Mapping[str, str] = field(repr=False)

    @property
    def in_memory(self) -> bool:
        """Never: PostgreSQL outlives the process."""
        return False

    def __str__(self) -> str:
        """For people: where the database is, without the password."""
        where = self.host if self.host.startswith("/") else f"{self.host}:{self.port}"
        return f"PostgreSQL database {self.database!r} at {where} as {self.user!r}"


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A SQLite database: a file, or, if `path` is None, one in memory shared by all engines with `name`.

    Attributes:
        busy_timeout: seconds a statement waits for another writer.
    """

    path: Path | None
    busy_timeout: float = DEFAULT_BUSY_TIMEOUT
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def in_memory(self) -> bool:
        """Whether it ends with the process, and so has no tables at start."""
        return self.path is None

    def __str__(self) -> str:
        """For people: where the database is."""
        return "SQLite database in memory" if self.path is None else f"SQLite database {str(self.path)!r}"


DatabaseTarget = PostgresTarget | MysqlTarget | SqliteTarget


def parse_url(
    backend: str, db_url: str, base_dir: Path, environ: Mapping[str, str] | None = None
) -> DatabaseTarget:
    """Read Notary's two storage keys.

    Args:
        backend: `storage.backend`: `postgres`, `mysql`, `sqlite3` or `memory`.
        db_url: `storage.db_url`; not looked at for `memory`.
        base_dir: relative paths count from here.
        environ: where PGHOST and the like are looked up; the process's own environment if None.

    Raises:
        DatabaseUrlError: with the reason.
    """
    name = backend.strip().lower()
    if name == "memory":
        return SqliteTarget(path=None)
    if name == "rethinkdb":
        raise DatabaseUrlError("storage.backend 'rethinkdb' is not supported: use 'postgres' or 'mysql'")
    if name not in {"postgres", "mysql", "sqlite3"}:
        raise DatabaseUrlError(
            f"storage.backend {backend!r} is unknown: use 'postgres', 'mysql', 'sqlite3' or 'memory'"
        )
    if not db_url.strip():
        raise DatabaseUrlError(f"storage.db_url is empty; the backend {name!r} needs one")
    if "\0" in db_url:
        raise DatabaseUrlError("storage.db_url holds a NUL character")
    if name == "sqlite3":
        return _sqlite(db_url.strip(), base_dir)
    if name == "mysql":
        return parse_dsn(db_url.strip(), base_dir)
    values = _from_environment(os.environ if environ is None else environ)
    values.update(_postgres_values(db_url.strip()))
    return _postgres(values, base_dir)


def _sqlite(db_url: str, base_dir: Path) -> SqliteTarget:
    text, _, query = db_url.partition("?")
    is_uri = text.startswith("file:")
    if _OTHER_DATABASE.search(text):
        # Taken as a path it would be shown as one, password included.
        raise DatabaseUrlError(
            "storage.db_url is the address of another database, but storage.backend is 'sqlite3': "
            "correct one of the two"
        )
    busy_timeout, in_memory = DEFAULT_BUSY_TIMEOUT, text in {":memory:", "file::memory:"}
    for key, value in parameters(query):
        if key in {"_busy_timeout", "_timeout"}:
            if not re.fullmatch(r"[0-9]{1,7}", value):
                raise DatabaseUrlError(f"storage.db_url: {key} must be a number of milliseconds")
            busy_timeout = int(value) / 1000
            continue
        if key not in _SQLITE_ACCEPTED:
            raise DatabaseUrlError(f"storage.db_url: the SQLite parameter {key!r} is unknown; remove it")
        accepted = _SQLITE_ACCEPTED[key]
        if accepted is not None and value.lower() not in accepted:
            raise DatabaseUrlError(
                f"storage.db_url: {key} can only be {' or '.join(sorted(accepted))} here; remove it"
            )
        in_memory = in_memory or (key == "mode" and value.lower() == "memory")
    if in_memory:
        return SqliteTarget(path=None, busy_timeout=busy_timeout)
    if is_uri:
        text = decode(text.removeprefix("file:"), "path")
        if text.startswith("//"):
            authority, slash, rest = text[2:].partition("/")
            if authority not in {"", "localhost"}:
                raise DatabaseUrlError("storage.db_url: a file: address cannot name a host")
            text = slash + rest
    if not text or text.endswith("/"):
        raise DatabaseUrlError("storage.db_url names no SQLite file")
    return SqliteTarget(path=base_dir.absolute() / text, busy_timeout=busy_timeout)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: environ[name] for name, key in _ENVIRONMENT.items() if environ.get(name)}


def _postgres_values(db_url: str) -> dict[str, str]:
    """Either of lib/pq's forms as its parameters."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", db_url):
        return _parse_key_values(db_url)
    if not db_url.startswith(("postgres://", "postgresql://")):
        raise DatabaseUrlError("storage.db_url must begin with postgres:// or postgresql://")
    try:
        parts = urlsplit(db_url)
        port = parts.port
    except ValueError:
        raise DatabaseUrlError("storage.db_url: host or port cannot be read") from None
    if "," in parts.netloc.rpartition("@")[2]:
        raise DatabaseUrlError("storage.db_url can name one host only")
    given = {
        "user": decode(parts.username or "", "user name"),
        "password": decode(parts.password or "", "password"),
        "host": decode(_host(parts.netloc), "host"),
        "port": "" if port is None else str(port),
        "dbname": decode(parts.path.removeprefix("/"), "database name"),
    }
    values = {key: value for key, value in given.items() if value}
    for key, value in parameters(parts.query):
        if key not in values or key in given:
            values[key] = value
    return values


def _host(netloc: str) -> str:
    """The host as spelled (`urlsplit` would lower its case), without brackets and port."""
    place = netloc.rpartition("@")[2]
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0]


_KEY_VALUE: Final = re.compile(
    r"""\s*(?P<key>[A-Za-z_]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'(?=\s|$)|(?P<plain>(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)""",
    re.DOTALL,
)


def _parse_key_values(text: str) -> dict[str, str]:
    """lib/pq's `key=value key='quoted value'` form, in which a backslash protects the next character."""
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _KEY_VALUE.match(text, position)
        if match is None:
            raise DatabaseUrlError(
                "storage.db_url is neither postgres://user@host:port/database?... nor a list of key=value"
            )
        value = match["quoted"] if match["quoted"] is not None else match["plain"] or ""
        values[match["key"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        position = match.end()
    return values


def _postgres(values: Mapping[str, str], base_dir: Path) -> PostgresTarget:
    settings = _run_time_settings(values)
    host = values.get("host") or "localhost"
    user = values.get("user") or _system_user()
    sslmode = _sslmode(values, host)
    files = {key: _file(values.get(key), base_dir) for key in ("sslrootcert", "sslcert", "sslkey")}
    if (files["sslcert"] is None) != (files["sslkey"] is None):
        raise DatabaseUrlError("storage.db_url: sslcert and sslkey go together; one of them is missing")
    if sslmode in {"allow", "prefer"} and any(files.values()):
        raise DatabaseUrlError(
            f"storage.db_url: sslmode={sslmode} cannot promise TLS and so takes no certificates; "
            "use require, verify-ca or verify-full"
        )
    return PostgresTarget(
        host=host,
        port=_number(values, "port", 5432, 1, 65535),
        user=user,
        database=values.get("dbname") or user,
        password=values.get("password"),
        sslmode=sslmode,
        sslrootcert=files["sslrootcert"],
        sslcert=files["sslcert"],
        sslkey=files["sslkey"],
        connect_timeout=float(_number(values, "connect_timeout", 0, 0, 3600)) or DEFAULT_CONNECT_TIMEOUT,
        settings=settings,
    )


def _run_time_settings(values: Mapping[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    known = _ADDRESS | _TLS | _WITHOUT_EFFECT | {"connect_timeout", "fallback_application_name"}
    check: dict[str, Callable[[str], bool]] = {
        "client_encoding": lambda text: text.lower().replace("-", "") in {"utf8", "'utf8'", "unicode"},
        "datestyle": lambda text: text.upper().startswith("ISO"),
    }
    for key, value in values.items():
        lowered = key.lower()
        if lowered in check:
            if not check[lowered](value):
                raise DatabaseUrlError(f"storage.db_url: {key} cannot be changed; remove it")
        elif lowered in _RUN_TIME:
            settings[lowered] = value
        elif key not in known:
            raise DatabaseUrlError(f"storage.db_url: the parameter {key!r} is unknown; remove it")
    settings.setdefault("application_name", values.get("fallback_application_name") or "notary")
    return settings


def _sslmode(values: Mapping[str, str], host: str) -> SslMode:
    if host.startswith("/"):
        return "disable"  # a Unix socket; PostgreSQL speaks no TLS there
    wanted = values.get("sslmode") or "require"
    for mode in SSL_MODES:
        if wanted == mode:
            return mode
    raise DatabaseUrlError(f"storage.db_url: sslmode must be one of {', '.join(SSL_MODES)}")


def _file(value: str | None, base_dir: Path) -> Path | None:
    return base_dir.absolute() / value if value else None


def _number(values: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    text = values.get(key)
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise DatabaseUrlError(f"storage.db_url: {key} must be a number from {low} to {high}")
    return int(text)


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise DatabaseUrlError("storage.db_url names no user") from None
