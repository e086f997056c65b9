"""MySQL's and MariaDB's addresses as go-sql-driver writes them: `user:password@tcp(host:port)/database?name=value`.

User and password stand as they are, whatever characters they hold; only the database and the values of parameters
are percent-escaped (a slash in a value is `%2F`). The host is `127.0.0.1`, the port 3306 and the socket
`/tmp/mysql.sock` unless given. Parameters:

| Parameter | Meaning |
| --- | --- |
| `tls` | `false` (the default), `true` (certificate and host name are verified), `skip-verify`, `preferred` |
| `tls-ca`, `tls-cert`, `tls-key` | files, with `tls=true` (the last two with `skip-verify`, too): what Go programs register in code |
| `timeout` | to establish a connection, such as `5s` |
| `readTimeout` | for a statement to be answered, waiting for locks included |
| `time_zone` | the session's, in which `timestamp` columns are written and read: `'+00:00'`, `SYSTEM` |

Parameters of go-sql-driver that have no meaning here, or ask for what is done anyway, are taken; others are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from .errors import DatabaseUrlError
from .escapes import decode, parameters

TlsMode = Literal["false", "true", "skip-verify", "preferred"]

DEFAULT_CONNECT_TIMEOUT: Final = 5.0
"""Seconds to establish a connection when the address names no `timeout`."""
DEFAULT_TIME_ZONE: Final = "+00:00"
"""UTC, as on the other databases."""

_TRUE: Final = frozenset({"1", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "false", "FALSE", "False"})
_UNITS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))+|0")
_TIME_ZONE: Final = re.compile(r"'([A-Za-z0-9_+:/-]{1,64})'|(SYSTEM)")
_PLACE: Final = re.compile(r"(?P<network>[a-z0-9]*)(?:\((?P<address>.*)\))?", re.DOTALL)
_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")
_READ_HERE: Final = frozenset({"tls", "tls-ca", "tls-cert", "tls-key", "timeout", "readTimeout", "time_zone"})
_ACCEPTED: Final[Mapping[str, frozenset[str] | None]] = {
    # Values that ask for what this program does anyway; None: any value, without effect here.
    "parseTime": None,
    "loc": frozenset({"UTC"}),
    "charset": frozenset({"utf8", "utf8mb3", "utf8mb4", "utf8mb4,utf8"}),
    "collation": None,
    "writeTimeout": None,
    "maxAllowedPacket": None,
    "interpolateParams": None,
    "multiStatements": None,
    "clientFoundRows": None,
    "columnsWithAlias": None,
    "checkConnLiveness": None,
    "rejectReadOnly": None,
    "allowAllFiles": None,
    "connectionAttributes": None,
    "timeTruncate": None,
    "tinyInt1IsBool": None,
    "allowNativePasswords": _TRUE,
    "allowCleartextPasswords": _FALSE,
    "allowOldPasswords": _FALSE,
    "allowFallbackToPlaintext": _FALSE,
    "compress": _FALSE,
}


@dataclass(frozen=True, slots=True)
class MysqlTarget:
    """A database of MySQL or MariaDB.

    Attributes:
        host: name or address; empty with a `socket`.
        socket: path of a Unix socket.
        connect_timeout: seconds.
        statement_timeout: seconds; None where the address names none.
    """

    host: str
    port: int
    socket: str | None
    user: str
    database: str
    password: str = field(repr=False)
    tls: TlsMode
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    connect_timeout: float
    statement_timeout: float | None
    time_zone: str

    @property
    def in_memory(self) -> bool:
        """Never: MySQL outlives the process."""
        return False

    def __str__(self) -> str:
        """For people: where the database is, without the password."""
        where = self.socket or (f"[{self.host}]" if ":" in self.host else self.host) + f":{self.port}"
        return f"MySQL database {self.database!r} at {where} as {self.user!r}"


def parse_dsn(dsn: str, base_dir: Path) -> MysqlTarget:
    """Read a data source name.

    Args:
        dsn: as go-sql-driver takes it.
        base_dir: relative paths count from here.

    Raises:
        DatabaseUrlError: with the reason.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", dsn):
        raise DatabaseUrlError(
            "storage.db_url: MySQL's address is no URL; write user:password@tcp(host:3306)/database?parseTime=True"
        )
    before, slash, after = dsn.rpartition("/")
    if not slash:
        raise DatabaseUrlError(
            "storage.db_url names no database; write user:password@tcp(host:3306)/database?parseTime=True"
        )
    if ")/" in before and "?" in before.rpartition(")/")[2]:
        raise DatabaseUrlError("storage.db_url: a '/' in the value of a parameter must be written %2F")
    database, _, query = after.partition("?")
    credentials, _, place = before.rpartition("@")
    user, _, password = credentials.partition(":")
    if not database:
        raise DatabaseUrlError("storage.db_url names no database behind the '/'")
    if not user:
        raise DatabaseUrlError("storage.db_url names no user before the '@'")
    host, port, socket = _place(place)
    values = _values(query)
    tls = _tls(values.get("tls", "false"), socket)
    return MysqlTarget(
        host=host,
        port=port,
        socket=socket,
        user=user,
        database=decode(database, "database name"),
        password=password,
        tls=tls,
        **_files(values, tls, base_dir),
        connect_timeout=_seconds(values, "timeout") or DEFAULT_CONNECT_TIMEOUT,
        statement_timeout=_seconds(values, "readTimeout") or None,
        time_zone=_time_zone(values.get("time_zone")),
    )


def _place(text: str) -> tuple[str, int, str | None]:
    """Host, port and socket of `tcp(host:port)`, `unix(/path)` and what may be left out of them."""
    match = _PLACE.fullmatch(text)
    network = "" if match is None else match["network"] or "tcp"
    if match is None or network not in {"tcp", "tcp4", "tcp6", "unix"}:
        raise DatabaseUrlError(
            "storage.db_url: between '@' and '/' there must be tcp(host:port) or unix(/path/of/socket)"
        )
    address = match["address"] or ""
    if network == "unix":
        if address and not address.startswith("/"):
            raise DatabaseUrlError("storage.db_url: the path of a Unix socket must begin with '/'")
        return "", 0, address or "/tmp/mysql.sock"  # noqa: S108 # go-sql-driver's default
    found = _ADDRESS.fullmatch(address)
    port = 3306 if found is None or found["port"] is None else int(found["port"])
    if found is None or not 1 <= port <= 65535:
        raise DatabaseUrlError("storage.db_url: tcp(...) must hold host:port, or [address]:port for IPv6")
    return found["six"] or found["four"] or "127.0.0.1", port, None


def _values(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in parameters(query):
        if key in _READ_HERE:
            values[key] = value
            continue
        if key not in _ACCEPTED:
            raise DatabaseUrlError(f"storage.db_url: the parameter {key!r} is not taken; remove it")
        accepted = _ACCEPTED[key]
        if accepted is not None and value not in accepted:
            raise DatabaseUrlError(
                f"storage.db_url: {key} can only be {' or '.join(sorted(accepted))} here; remove it"
            )
    return values


def _tls(value: str, socket: str | None) -> TlsMode:
    lowered = value.lower()
    if value in _FALSE:
        return "false"
    if value in _TRUE:
        mode: TlsMode = "true"
    elif lowered == "skip-verify":
        mode = "skip-verify"
    elif lowered == "preferred":
        mode = "preferred"
    else:
        raise DatabaseUrlError(
            "storage.db_url: tls must be true, false, skip-verify or preferred; a configuration that a program "
            "registers under a name does not exist here: write tls=true and tls-ca, tls-cert, tls-key with files"
        )
    return mode if socket is None else "false"  # nothing to hide on a socket; asyncmy speaks no TLS there


def _files(values: Mapping[str, str], tls: TlsMode, base_dir: Path) -> dict[str, Path | None]:
    found = {
        key.replace("-", "_"): base_dir.absolute() / values[key] if values.get(key) else None
        for key in ("tls-ca", "tls-cert", "tls-key")
    }
    if (found["tls_cert"] is None) != (found["tls_key"] is None):
        raise DatabaseUrlError("storage.db_url: tls-cert and tls-key go together; one of them is missing")
    if found["tls_ca"] is not None and tls != "true":
        raise DatabaseUrlError("storage.db_url: tls-ca is used with tls=true only")
    if found["tls_cert"] is not None and tls not in {"true", "skip-verify"}:
        raise DatabaseUrlError("storage.db_url: tls-cert is used with tls=true or tls=skip-verify only")
    return found


def _seconds(values: Mapping[str, str], key: str) -> float:
    """One of Go's durations; 0 if there is none."""
    text = values.get(key, "0")
    if not _DURATION.fullmatch(text):
        raise DatabaseUrlError(f"storage.db_url: {key} must be a duration such as 5s or 1m30s")
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _time_zone(text: str | None) -> str:
    if text is None:
        return DEFAULT_TIME_ZONE
    match = _TIME_ZONE.fullmatch(text)
    if match is None:
        raise DatabaseUrlError(
            "storage.db_url: time_zone must be SYSTEM or a quoted zone such as %27%2B00:00%27"
        )
    return match[1] or match[2]
