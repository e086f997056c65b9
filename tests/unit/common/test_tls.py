"""TLS contexts: what they accept, what they refuse, and that a bad file is named."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from notary_common.tls import (
    TlsError,
    authority_problem,
    client_context,
    date_problem,
    pair_problem,
    server_context,
)
from tests.support.pki import local_pki


class Certificates:
    """The files of one throw-away authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = local_pki(folder)
        self.ca = authority.files.certificate
        self.server = folder / "server.pem"
        self.server_key = folder / "server-key.pem"
        self.client = folder / "server-client.pem"
        self.client_key = folder / "server-client-key.pem"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority with a server's and a client's pair."""
    return Certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Another authority, which nobody here believes."""
    return Certificates(tmp_path_factory.mktemp("stranger"))


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> tuple[str | None, str]:
    """Protocol and cipher of a handshake in memory.

    Raises:
        ssl.SSLError: one side refused.
    """
    here = _connected(server, client, name)
    cipher = here.cipher()
    assert cipher is not None
    return here.version(), cipher[0]


def _connected(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """The client's side of a handshake in memory, after which it has read one byte.

    Raises:
        ssl.SSLError: one side refused.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(up, down, server_side=True)
    here = client.wrap_bio(down, up, server_hostname=name, session=session)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (here, there):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert done == {here, there}
    # In TLS 1.3 a refused client certificate only shows on the client's first read.
    there.write(b"x")
    assert here.read(1) == b"x"
    return here


def test_tls_1_3_is_preferred(pki: Certificates) -> None:
    """Two of ours speak TLS 1.3."""
    version, _ = _shake(server_context(pki.server, pki.server_key), client_context(pki.ca, None, None))
    assert version == "TLSv1.3"


def test_tls_1_2_is_spoken_with_forward_secrecy_alone(pki: Certificates) -> None:
    """An older client gets an ECDHE suite with authenticated encryption."""
    client = client_context(pki.ca, None, None)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ALL")
    version, cipher = _shake(server_context(pki.server, pki.server_key), client)
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_second_connection_resumes(pki: Certificates, version: ssl.TLSVersion, mutual: bool) -> None:
    """With the ticket of a first connection no certificate is sent again, where clients need one too."""
    server = server_context(pki.server, pki.server_key, pki.ca if mutual else None)
    client = client_context(pki.ca, pki.client, pki.client_key)
    client.maximum_version = version
    first = _connected(server, client)
    assert not first.session_reused
    assert first.session is not None
    assert first.session.has_ticket
    assert _connected(server, client, session=first.session).session_reused


def test_the_client_chooses_the_suite(pki: Certificates) -> None:
    """It knows best what it is fast with."""
    server = server_context(pki.server, pki.server_key)
    client = client_context(pki.ca, None, None)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        client.set_ciphers(f"{suite}:ECDHE-ECDSA-AES256-GCM-SHA384")
        assert _shake(server, client)[1] == suite


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(pki: Certificates, version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1 are gone."""
    client = client_context(pki.ca, None, None)
    client.minimum_version = version
    client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        _shake(server_context(pki.server, pki.server_key), client)


def test_a_client_certificate_is_demanded_where_a_ca_is_given(pki: Certificates) -> None:
    """With client_ca_file only clients of that CA get in."""
    server = server_context(pki.server, pki.server_key, pki.ca)
    _shake(server, client_context(pki.ca, pki.client, pki.client_key))
    with pytest.raises(ssl.SSLError):
        _shake(server, client_context(pki.ca, None, None))


def test_a_strangers_client_certificate_is_refused(pki: Certificates, stranger: Certificates) -> None:
    """A certificate of another CA does not open the door."""
    server = server_context(pki.server, pki.server_key, pki.ca)
    with pytest.raises(ssl.SSLError):
        _shake(server, client_context(pki.ca, stranger.client, stranger.client_key))


def test_a_client_verifies_chain_and_name(pki: Certificates, stranger: Certificates) -> None:
    """A server of another CA, or with another name, is not talked to."""
    server = server_context(pki.server, pki.server_key)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(server, client_context(stranger.ca, None, None))
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(server, client_context(None, None, None))
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(server, client_context(pki.ca, None, None), "elsewhere.example")


def _encrypted(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "locked.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    return pki.server, path, "encrypted"


def _other_key(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    return pki.server, pki.client_key, "is not the key of the certificate"


def _other_kind(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    path = folder / "rsa.pem"
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return pki.server, path, "is not the key of the certificate"


def _swapped(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    return pki.server_key, pki.server, "no PEM certificate"


def _missing(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    return pki.server, folder / "gone.pem", "No such file"


def _garbage_key(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    path = folder / "garbage.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n")
    return pki.server, path, "is not a PEM private key"


def _garbage_certificate(pki: Certificates, folder: Path) -> tuple[Path, Path, str]:
    path = folder / "garbage.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return path, pki.server_key, "no PEM certificate"


@pytest.mark.parametrize(
    "spoil", [_encrypted, _other_key, _other_kind, _swapped, _missing, _garbage_key, _garbage_certificate]
)
def test_a_bad_pair_is_refused_by_file_and_reason(
    pki: Certificates, tmp_path: Path, spoil: Callable[[Certificates, Path], tuple[Path, Path, str]]
) -> None:
    """Server and client contexts refuse the same, and say which file and why, without its content."""
    certificate, key, reason = spoil(pki, tmp_path)
    with pytest.raises(TlsError, match=reason) as caught:
        server_context(certificate, key)
    assert caught.value.file in {certificate, key}
    assert str(caught.value).startswith(f"{caught.value.file}: ")
    assert "planted" not in str(caught.value)
    with pytest.raises(TlsError, match=reason):
        client_context(None, certificate, key)
    assert reason in str(pair_problem(certificate, key))


@pytest.mark.parametrize(
    "content", ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_bad_ca_file_is_refused(pki: Certificates, tmp_path: Path, content: str) -> None:
    """A CA file without a certificate would believe nobody, or everybody; it is refused instead."""
    path = tmp_path / "ca.pem"
    path.write_text(content)
    with pytest.raises(TlsError, match="no PEM certificate"):
        server_context(pki.server, pki.server_key, path)
    with pytest.raises(TlsError, match="no PEM certificate"):
        client_context(path, None, None)
    assert authority_problem(path) is not None


def test_good_files_have_no_problem(pki: Certificates) -> None:
    """What loads is not complained about."""
    assert pair_problem(pki.server, pki.server_key) is None
    assert authority_problem(pki.ca) is None


def test_whatever_the_ca_file_holds_is_believed(pki: Certificates, stranger: Certificates) -> None:
    """As with Notary's Go programs, a file may name the one certificate to believe instead of its CA."""
    server = server_context(pki.server, pki.server_key, pki.client)
    _shake(server, client_context(pki.server, pki.client, pki.client_key))
    with pytest.raises(ssl.SSLError):
        _shake(server, client_context(stranger.server, pki.client, pki.client_key))
    with pytest.raises(ssl.SSLError):
        _shake(server, client_context(pki.server, pki.server, pki.server_key))


def test_certificates_out_of_date_are_told_apart(
    pki: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of a chain counts, and of CAs any; what is good today has no problem."""
    assert date_problem(pki.server) is None
    monkeypatch.setattr("deploy.local.pki.LIFETIME", timedelta(minutes=-1))
    old = Certificates(tmp_path)
    problem = date_problem(old.server)
    assert problem is not None
    assert problem.startswith(f"{old.server}: the certificate expired on ")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(pki.server.read_bytes() + old.ca.read_bytes())
    assert date_problem(chain) is None
    chain.write_bytes(old.ca.read_bytes() + pki.ca.read_bytes())
    assert date_problem(chain) is not None
    assert date_problem(chain, authorities=True) is None
    assert date_problem(old.ca, authorities=True) is not None


def test_openssls_old_key_files_are_taken(pki: Certificates, tmp_path: Path) -> None:
    """A SEC 1 key after its EC PARAMETERS, as `openssl ecparam -genkey` writes it, is fine."""
    key = load_pem_private_key(pki.server_key.read_bytes(), None)
    path = tmp_path / "sec1.pem"
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    sec1 = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    path.write_text(parameters + sec1)
    _shake(server_context(pki.server, path), client_context(pki.ca, None, None))


def test_half_a_client_pair_is_a_mistake_of_the_caller(pki: Certificates) -> None:
    """A certificate without its key is not silently left out."""
    with pytest.raises(ValueError, match="together"):
        client_context(pki.ca, pki.client, None)
