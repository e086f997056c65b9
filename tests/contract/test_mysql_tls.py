"""`tls`, client certificates and ways to log in, against a MariaDB that wants TLS from some of its users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from notary_common.database import DatabaseUnavailable, Query, open_database, parse_url
from tests.support.mariadb import MariaServer
from tests.support.pki import LOCAL_NAMES, Authority

PASSWORD = "p@s:s/wörd"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two authorities, and a server's and a client's certificate of the first."""
    directory = tmp_path_factory.mktemp("pki")
    authority = Authority(directory, "good")
    authority.issue("server", LOCAL_NAMES)
    authority.issue("client", common_name="certified")
    (directory / "other").mkdir()
    Authority(directory / "other", "bad")
    return directory


@pytest.fixture(scope="module")
def tls_server(pki: Path) -> Iterator[MariaServer]:
    """`certified` needs a client certificate, `worded` TLS and a password, `root` neither."""
    authority = Authority(pki, "good")
    server = MariaServer.temporary()
    server.make()
    pair = authority.pair("server")
    server.settings |= {
        "ssl_cert": str(server.put("s.pem", pair.certificate.read_bytes())),
        "ssl_key": str(server.put("s-key.pem", pair.key.read_bytes())),
        "ssl_ca": str(server.put("ca.pem", authority.files.certificate.read_bytes())),
    }
    with server:
        server.sql(
            "CREATE USER certified REQUIRE X509; GRANT ALL ON *.* TO certified;"
            f"CREATE USER worded IDENTIFIED BY '{PASSWORD}' REQUIRE SSL; GRANT ALL ON *.* TO worded;"
        )
        yield server


async def _encrypted(dsn: str, base: Path) -> bool:
    """Connect and ask whether the session is encrypted."""
    database = open_database(parse_url("mysql", dsn, base))
    question = Query(lambda _: sa.text("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))
    try:
        async with database.statement() as session:
            return bool((await session.rows(question))[0][1])
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("place", "query", "encrypted"),
    [
        ("127.0.0.1", "tls=false", False),
        ("127.0.0.1", "tls=preferred", True),
        ("127.0.0.1", "tls=skip-verify", True),
        ("127.0.0.1", "tls=true&tls-ca={ca}", True),
        ("localhost", "tls=true&tls-ca={ca}", True),
    ],
)
async def test_tls_as_asked(
    tls_server: MariaServer, pki: Path, place: str, query: str, encrypted: bool
) -> None:
    """Encrypted where it was asked for, and only there."""
    asked = query.format(ca=Authority(pki, "good").files.certificate.name)
    dsn = f"root@tcp({place}:{tls_server.port})/mysql?{asked}"
    assert await _encrypted(dsn, pki) is encrypted


async def test_a_server_that_cannot_prove_itself_is_refused(tls_server: MariaServer, pki: Path) -> None:
    """A foreign authority, or one that the system does not know."""
    foreign = "other%2F" + Authority(pki / "other", "bad").files.certificate.name
    for query in ("tls=true", f"tls=true&tls-ca={foreign}"):
        with pytest.raises(DatabaseUnavailable):
            await _encrypted(f"root@tcp(localhost:{tls_server.port})/mysql?{query}", pki)


async def test_a_server_without_tls_is_refused_unless_it_is_only_preferred(
    mariadb_server: MariaServer, tmp_path: Path
) -> None:
    """Nothing goes out in the clear where TLS was asked for."""
    place = f"root@tcp(127.0.0.1:{mariadb_server.port})/mysql"
    with pytest.raises(DatabaseUnavailable, match="offers no TLS"):
        await _encrypted(f"{place}?tls=skip-verify", tmp_path)
    assert not await _encrypted(f"{place}?tls=preferred", tmp_path)


async def test_client_certificates(tls_server: MariaServer, pki: Path) -> None:
    """With tls-cert and tls-key the user is let in, without is not."""
    authority = Authority(pki, "good")
    pair = authority.pair("client")
    dsn = (
        f"certified@tcp(localhost:{tls_server.port})/mysql?tls=true&tls-ca={authority.files.certificate.name}"
    )
    assert await _encrypted(f"{dsn}&tls-cert={pair.certificate.name}&tls-key={pair.key.name}", pki)
    with pytest.raises(DatabaseUnavailable, match="Access denied"):
        await _encrypted(dsn, pki)


async def test_passwords_work_and_stay_out_of_errors(tls_server: MariaServer, pki: Path) -> None:
    """The right one as it stands in the address; a wrong one appears nowhere in the error and its causes."""
    dsn = f"worded:{{}}@tcp(localhost:{tls_server.port})/mysql?tls=skip-verify"
    assert await _encrypted(dsn.format(PASSWORD), pki)
    with pytest.raises(DatabaseUnavailable, match="Access denied") as caught:
        await _encrypted(dsn.format("wrong-" + PASSWORD), pki)
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


async def test_a_unix_socket(mariadb_server: MariaServer, tmp_path: Path) -> None:
    """Asked for TLS it has none: nobody listens on a socket."""
    assert not await _encrypted(f"root@unix({mariadb_server.socket})/mysql?tls=true", tmp_path)
