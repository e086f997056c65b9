"""MySQL's addresses as go-sql-driver reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from notary_common.database import DatabaseUrlError, MysqlTarget, parse_url
from notary_common.database.engine import create_engine

BASE = Path("/etc/notary")
SECRET = "hunter2-very-secret"


def mysql(dsn: str) -> MysqlTarget:
    """`dsn` as the configuration gives it."""
    target = parse_url("mysql", dsn, BASE)
    assert isinstance(target, MysqlTarget)
    return target


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (
            "server@tcp(mysql:3306)/notaryserver?parseTime=True",
            ("mysql", 3306, None, "server", "", "notaryserver"),
        ),
        ("u:p@tcp(DB.example:3307)/x", ("DB.example", 3307, None, "u", "p", "x")),
        ("u:p@tcp(db)/x", ("db", 3306, None, "u", "p", "x")),
        ("u:p@tcp([2001:db8::1]:3308)/x", ("2001:db8::1", 3308, None, "u", "p", "x")),
        ("u:p@tcp([::1])/x", ("::1", 3306, None, "u", "p", "x")),
        ("u:pw@/db", ("127.0.0.1", 3306, None, "u", "pw", "db")),
        ("u@tcp/db", ("127.0.0.1", 3306, None, "u", "", "db")),
        ("u@unix(/run/mysqld/mysqld.sock)/db", ("", 0, "/run/mysqld/mysqld.sock", "u", "", "db")),
        ("u@unix/db", ("", 0, "/tmp/mysql.sock", "u", "", "db")),
        ("u:p@s:w/o?r%d@tcp(h)/db", ("h", 3306, None, "u", "p@s:w/o?r%d", "db")),
        ("u:(x)@tcp(h)/a%2Fb", ("h", 3306, None, "u", "(x)", "a/b")),
    ],
)
def test_addresses(dsn: str, expected: tuple[object, ...]) -> None:
    """Host, port, socket, user, password and database, with go-sql-driver's defaults; only the last is escaped."""
    target = mysql(dsn)
    assert (
        target.host,
        target.port,
        target.socket,
        target.user,
        target.password,
        target.database,
    ) == expected


def test_parameters() -> None:
    """Durations are Go's; files count from the configuration file; the session is in UTC unless told otherwise."""
    plain = mysql("u@tcp(h)/d")
    assert (plain.tls, plain.connect_timeout, plain.statement_timeout, plain.time_zone) == (
        "false",
        5,
        None,
        "+00:00",
    )
    full = mysql(
        "u@tcp(h)/d?tls=true&tls-ca=ca.pem&tls-cert=%2Fc.pem&tls-key=k.pem&timeout=1m1.5s&readTimeout=250ms"
        "&time_zone=%27Europe%2FBerlin%27"
    )
    assert (full.tls, full.tls_ca, full.tls_cert, full.tls_key) == (
        "true", BASE / "ca.pem", Path("/c.pem"), BASE / "k.pem",
    )  # fmt: skip
    assert (full.connect_timeout, full.statement_timeout, full.time_zone) == (61.5, 0.25, "Europe/Berlin")
    assert mysql("u@tcp(h)/d?tls=Skip-Verify").tls == "skip-verify"
    assert mysql("u@tcp(h)/d?tls=preferred&timeout=0").connect_timeout == 5
    assert mysql("u@unix(/s)/d?tls=true&time_zone=SYSTEM").tls == "false"


def test_what_has_no_meaning_here_is_taken() -> None:
    """Parameters that ask for what is done anyway stay where they are."""
    mysql(
        "u@tcp(h)/d?parseTime=True&loc=UTC&charset=utf8mb4,utf8&collation=utf8_general_ci&writeTimeout=3s"
        "&maxAllowedPacket=0&interpolateParams=true&multiStatements=true&clientFoundRows=true&compress=false"
        "&allowNativePasswords=true&allowCleartextPasswords=false&rejectReadOnly=true"
    )


@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        ("mysql://u:{}@h/d", r"no URL; write user:password@tcp\(host:3306\)/database"),
        ("u:{}@tcp(h)", "names no database"),
        ("u:{}@tcp(h)/", "names no database behind"),
        ("u:{}@tcp(h)/?parseTime=true", "names no database behind"),
        ("tcp(h)/d", "names no user"),
        (":{}@tcp(h)/d", "names no user"),
        ("u:{}@h:3306/d", "between '@' and '/'"),
        ("u:{}@udp(h)/d", "between '@' and '/'"),
        ("u:{}@tcp(h/d", "between '@' and '/'"),
        ("u:{}@tcp(h:0)/d", "must hold host:port"),
        ("u:{}@tcp(h:70000)/d", "must hold host:port"),
        ("u:{}@tcp(::1)/d", "must hold host:port"),
        ("u:{}@unix(s)/d", "must begin with '/'"),
        ("u:{}@tcp(h)/d?tls-ca=/ca.pem", "must be written %2F"),
        ("u:{}@tcp(h)/d%", "database name holds a '%'"),
        ("u:{}@tcp(h)/d?tls=custom", "registers under a name does not exist here: write tls=true and tls-ca"),
        ("u:{}@tcp(h)/d?tls-ca=c", "tls-ca is used with tls=true only"),
        ("u:{}@tcp(h)/d?tls=skip-verify&tls-ca=c", "tls-ca is used with tls=true only"),
        ("u:{}@tcp(h)/d?tls=true&tls-cert=c", "go together"),
        ("u:{}@tcp(h)/d?tls=preferred&tls-cert=c&tls-key=k", "tls=true or tls=skip-verify"),
        ("u:{}@tcp(h)/d?timeout=5", "timeout must be a duration"),
        ("u:{}@tcp(h)/d?readTimeout=-1s", "readTimeout must be a duration"),
        ("u:{}@tcp(h)/d?loc=Local", "loc can only be UTC"),
        ("u:{}@tcp(h)/d?charset=latin1", "charset can only be"),
        ("u:{}@tcp(h)/d?allowCleartextPasswords=true", "allowCleartextPasswords can only be"),
        ("u:{}@tcp(h)/d?serverPubKey=k", "'serverPubKey' is not taken"),
        ("u:{}@tcp(h)/d?sql_mode=ANSI", "'sql_mode' is not taken"),
        ("u:{}@tcp(h)/d?time_zone='%3B DROP", "time_zone must be"),
    ],
)
def test_addresses_that_cannot_be_taken(dsn: str, why: str) -> None:
    """The error names the part and never the password."""
    with pytest.raises(DatabaseUrlError, match=why) as caught:
        mysql(dsn.format(SECRET))
    assert SECRET not in str(caught.value)


def test_passwords_are_never_shown() -> None:
    """Neither text form of the target has one."""
    target = mysql(f"u:{SECRET}@tcp([::1]:3307)/d")
    assert str(target) == "MySQL database 'd' at [::1]:3307 as 'u'"
    assert SECRET not in repr(target)


def test_missing_files_show_before_anything_connects() -> None:
    """A CA or a key that cannot be read is named."""
    for dsn, name in (
        ("u@tcp(h)/d?tls=1&tls-ca=no.pem", "tls-ca '/etc/notary/no.pem'"),
        ("u@tcp(h)/d?tls=skip-verify&tls-cert=no.pem&tls-key=no.key", "tls-cert '/etc/notary/no.pem'"),
    ):
        with pytest.raises(DatabaseUrlError, match=name):
            create_engine(mysql(dsn))
