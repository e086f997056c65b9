"""`sslmode` against a PostgreSQL that takes TLS connections only, and client certificates for one database."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from notary_common.database import DatabaseUnavailable, DatabaseUrlError, Query, open_database, parse_url
from notary_common.tls import TlsError
from tests.support import softhsm
from tests.support.postgres import PostgresCluster

PASSWORD = "correct-horse-battery"


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._sign(self.name, self.key.public_key(), ca=True, names=[]))

    def issue(self, common_name: str, names: list[x509.GeneralName]) -> tuple[bytes, bytes]:
        """A certificate and its key in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._sign(subject, key.public_key(), ca=False, names=names), private

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool, names: list[x509.GeneralName]
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that PostgreSQL believes, in the directory of all files."""
    return Authority(tmp_path_factory.mktemp("pki"), "good")


@pytest.fixture(scope="module")
def pki(good: Authority) -> dict[str, Path]:
    """Two authorities, and a client certificate and key of the first."""
    directory = good.directory
    bad = Authority(directory, "bad")
    certificate, key = good.issue("certified", [])
    (directory / "client.pem").write_bytes(certificate)
    (directory / "client-key.pem").write_bytes(key)
    server, server_key = good.issue(
        "localhost", [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::1"))]
    )
    (directory / "server.pem").write_bytes(server)
    (directory / "server-key.pem").write_bytes(server_key)
    return {path.stem: path for path in directory.iterdir()} | {"directory": directory, "bad": bad.path}


@pytest.fixture(scope="module")
def tls_cluster(pki: dict[str, Path]) -> Iterator[PostgresCluster]:
    """TLS only; `certified` needs a client certificate, `worded` a password."""
    settings = {
        "ssl": "on",
        "ssl_cert_file": "'s.pem'",
        "ssl_key_file": "'s-key.pem'",
        "ssl_ca_file": "'ca.pem'",
    }
    cluster = PostgresCluster.temporary(settings=settings)
    cluster.make()
    cluster.put("s.pem", pki["server"].read_bytes())
    cluster.put("s-key.pem", pki["server-key"].read_bytes())
    cluster.put("ca.pem", pki["good"].read_bytes())
    cluster.put(
        "pg_hba.conf",
        b"hostssl all certified 127.0.0.1/32 cert\n"
        b"hostssl all worded 127.0.0.1/32 scram-sha-256\n"
        b"hostssl all postgres 127.0.0.1/32 trust\n",
    )
    with cluster:
        cluster.sql(f"CREATE ROLE certified LOGIN; CREATE ROLE worded LOGIN PASSWORD '{PASSWORD}'")
        yield cluster


async def _encrypted(url: str, base: Path) -> bool:
    """Connect and ask whether the session is encrypted."""
    database = open_database(parse_url("postgres", url, base, {}))
    question = Query(lambda _: text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    try:
        async with database.statement() as session:
            return bool((await session.rows(question))[0][0])
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("place", "query"),
    [
        ("127.0.0.1", ""),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=prefer"),
        ("127.0.0.1", "sslmode=allow"),
        ("127.0.0.1", "sslmode=require&sslrootcert=good.pem"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=good.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert=good.pem"),
    ],
)
async def test_tls_as_asked(
    tls_cluster: PostgresCluster, pki: dict[str, Path], place: str, query: str
) -> None:
    """Every mode but `disable` ends encrypted where the server wants it."""
    url = f"postgres://postgres@{place}:{tls_cluster.port}/postgres?{query}"
    assert await _encrypted(url, pki["directory"])


@pytest.mark.parametrize(
    ("place", "query"),
    [
        ("127.0.0.1", "sslmode=disable"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=good.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert=bad.pem"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=bad.pem"),
        ("127.0.0.1", "sslmode=require&sslrootcert=bad.pem"),
        ("localhost", "sslmode=verify-full"),
    ],
)
async def test_a_server_that_cannot_prove_itself_is_refused(
    tls_cluster: PostgresCluster, pki: dict[str, Path], place: str, query: str
) -> None:
    """A wrong name, a foreign authority, or one that the system does not know."""
    with pytest.raises(DatabaseUnavailable):
        await _encrypted(f"postgres://postgres@{place}:{tls_cluster.port}/postgres?{query}", pki["directory"])


async def test_client_certificates(tls_cluster: PostgresCluster, pki: dict[str, Path]) -> None:
    """With sslcert and sslkey the role is let in, without it is not."""
    url = (
        f"postgres://certified@localhost:{tls_cluster.port}/postgres?sslmode=verify-full&sslrootcert=good.pem"
    )
    assert await _encrypted(f"{url}&sslcert=client.pem&sslkey=client-key.pem", pki["directory"])
    with pytest.raises(DatabaseUnavailable):
        await _encrypted(url, pki["directory"])


async def test_passwords_work_and_stay_out_of_errors(
    tls_cluster: PostgresCluster, pki: dict[str, Path]
) -> None:
    """SCRAM with the right password; a wrong one appears nowhere in the error and its causes."""
    url = f"postgres://worded:{{}}@localhost:{tls_cluster.port}/postgres?sslmode=require"
    assert await _encrypted(url.format(PASSWORD), pki["directory"])
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        await _encrypted(url.format("wrong-" + PASSWORD), pki["directory"])
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslrootcert=missing.pem", "sslrootcert .*missing.pem.* cannot be loaded"),
        ("sslrootcert=client-key.pem", "sslrootcert .* cannot be loaded"),
        ("sslcert=client.pem&sslkey=missing.pem", "sslkey .*missing.pem.* cannot be loaded"),
        ("sslcert=client.pem&sslkey=server-key.pem", "cannot be loaded"),
    ],
)
def test_certificate_files_are_checked_before_connecting(pki: dict[str, Path], query: str, why: str) -> None:
    """A missing or unusable file is an error of the address, not of the first request."""
    target = parse_url("postgres", f"postgres://u@h/x?sslmode=verify-full&{query}", pki["directory"], {})
    with pytest.raises(DatabaseUrlError, match=why):
        open_database(target)


async def test_renewed_files_count_from_the_next_use_on(
    tls_cluster: PostgresCluster, pki: dict[str, Path], good: Authority, tmp_path: Path
) -> None:
    """Connections that rest, and those in use once they are given back, are replaced; bad files change nothing."""
    for name in ("good.pem", "client.pem", "client-key.pem"):
        (tmp_path / name).write_bytes((pki["directory"] / name).read_bytes())
    url = (
        f"postgres://certified@localhost:{tls_cluster.port}/postgres?sslmode=verify-full"
        "&sslrootcert=good.pem&sslcert=client.pem&sslkey=client-key.pem"
    )
    database = open_database(parse_url("postgres", url, tmp_path, {}))
    serial = Query(
        lambda _: text("SELECT pg_backend_pid(), client_serial FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    )

    async def ask() -> tuple[int, int]:
        async with database.statement() as session:
            return tuple((await session.rows(serial))[0])

    try:
        assert database.tls is not None
        first = await ask()
        assert await ask() == first
        stranger, _ = good.issue("certified", [])
        (tmp_path / "client.pem").write_bytes(stranger)
        with pytest.raises(TlsError, match="is not the key of the certificate"):
            database.tls.reload()
        assert await ask() == first
        renewed, key = good.issue("certified", [])
        (tmp_path / "client.pem").write_bytes(renewed)
        (tmp_path / "client-key.pem").write_bytes(key)
        async with database.statement() as in_use:
            assert database.tls.reload()
            # What has begun goes on with the connection that it has.
            assert tuple((await in_use.rows(serial))[0]) == first
        second = await ask()
        assert second[0] != first[0]
        assert second[1] == x509.load_pem_x509_certificate(renewed).serial_number
    finally:
        await database.close()


def test_a_command_uses_the_token_and_a_connection_with_tls(
    tls_cluster: PostgresCluster, pki: dict[str, Path], tmp_path: Path
) -> None:
    """SoftHSM and Python share OpenSSL: what the one leaves in its error queue must not end the other's connection."""
    hsm = softhsm.prepare(tmp_path / "hsm")
    name = tls_cluster.create_database().rpartition("/")[2].partition("?")[0]
    tls_cluster.sql(f"ALTER DATABASE {name} OWNER TO certified")
    url = (
        f"postgres://certified@127.0.0.1:{tls_cluster.port}/{name}?sslmode=verify-ca&sslrootcert={pki['good']}"
        f"&sslcert={pki['client']}&sslkey={pki['client-key']}"
    )
    config = tmp_path / "signer.json"
    config.write_text(
        json.dumps(
            {
                "server": {"http_addr": "unix://signer.sock"},
                "storage": {"backend": "postgres", "db_url": url},
                "pkcs11": {"token_label": "over-tls", "pin_file": str(hsm.pin_file)},
                "audit": {"to": "database", "writer": "signer"},
            }
        )
    )

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "notary_signer", *words, "--config", str(config)]
        done = subprocess.run(
            command, env=hsm.environ, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert run("db", "upgrade")[0] == 0
    status, said = run("token", "init")
    assert (status, "initialised in" in said) == (0, True), said
    assert run("token", "init")[0] == 1
    status, said = run("token", "init", "--if-missing")
    assert (status, "exists already; it was left as it is" in said) == (0, True), said
