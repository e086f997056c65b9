"""New certificates: which are taken, which are refused and why, and what stays as it was."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from notary_common.tls import PemFiles, ReloadingContext, TlsError, make_client, make_server
from notary_common.tls.peer_id import Peers, make_client_of, subject
from tests.support.pki import LOCAL_NAMES, Authority

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
DAY = timedelta(days=1)
SPIFFE_ID = "spiffe://example.org/notary-signer"


class Maker:
    """Certificates of every kind, and the files of a context to be renewed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = PemFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        self.root = self.sign(self.name, self.key, ca=True)
        self.believe(self.root)

    def sign(
        self,
        subject: x509.Name,
        key: Any,
        *,
        issuer: tuple[x509.Name, Any] | None = None,
        names: Iterable[x509.GeneralName] = (),
        ca: bool = False,
        since: timedelta = -DAY,
        until: timedelta = DAY,
        usage: tuple[x509.ObjectIdentifier, ...] = (),
    ) -> x509.Certificate:
        """A certificate of the root or of `issuer`."""
        issued_by, signing = issuer or (self.name, self.key)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issued_by)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # Generations of an authority share its name: these tell them apart.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return builder.sign(signing, hashes.SHA256())

    def pair(
        self, *hosts: str, key: Any = None, common_name: str = "leaf", **options: Any
    ) -> tuple[Any, Any]:
        """A certificate for `hosts` and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        names = [
            x509.UniformResourceIdentifier(host) if "://" in host else x509.DNSName(host) for host in hosts
        ]
        return self.sign(named, key, names=names, **options), key

    def show(self, pair: tuple[Any, Any], *others: x509.Certificate) -> None:
        """Write certificate, chain and key."""
        certificate, key = pair
        assert self.files.certificate
        assert self.files.key
        self.files.certificate.write_bytes(pem(certificate, *others))
        self.files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def believe(self, *authorities: x509.Certificate) -> None:
        """Write the CA file."""
        assert self.files.authorities
        self.files.authorities.write_bytes(pem(*authorities))

    def listener(self, **options: Any) -> ReloadingContext:
        """A context to listen with, of the files as they are now."""
        return ReloadingContext(
            "listener", "client_ca", self.files, make_server, "server", in_place=True, **options
        )

    def client(self) -> ReloadingContext:
        """A context to connect with, likewise."""
        return ReloadingContext("client", "ca", self.files, make_client, "client")


def pem(*certificates: x509.Certificate) -> bytes:
    """The certificates as a file holds them."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """With a good pair in place, which speaks for two hosts."""
    made = Maker(tmp_path)
    made.show(made.pair("a.host.example", "b.host.example"))
    return made


def connect(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str = "a.host.example",
    session: ssl.SSLSession | None = None,
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Client and server after a handshake in memory.

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
    # In TLS 1.3 a refused client certificate, and a ticket, show on the first read.
    there.write(b"x")
    assert here.read(1) == b"x"
    return here, there


def shown(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """The certificate that a client sees."""
    return connect(server, client)[0].getpeercert(binary_form=True) or b""


def der(pair: tuple[Any, Any]) -> bytes:
    """The certificate as it is sent."""
    encoded: bytes = pair[0].public_bytes(Encoding.DER)
    return encoded


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_renewed_pair_is_shown_and_sessions_go_on(maker: Maker, version: ssl.TLSVersion) -> None:
    """New connections see the new certificate; who kept a session of before resumes it."""
    listener, client = maker.listener(), make_client(maker.files.read())
    client.maximum_version = version
    before, _ = connect(listener.current(), client)
    renewed = maker.pair("a.host.example", "b.host.example", "c.host.example")
    maker.show(renewed)
    assert listener.reload()
    assert not listener.reload()
    assert shown(listener.current(), client) == der(renewed)
    assert connect(listener.current(), client, session=before.session)[0].session_reused


def test_a_pair_of_another_kind_replaces_the_old(maker: Maker) -> None:
    """OpenSSL keeps one certificate for each kind of key: the old one must not go on beside the new."""
    listener, client = maker.listener(), make_client(maker.files.read())
    renewed = maker.pair("a.host.example", "b.host.example", key=rsa.generate_private_key(65537, 2048))
    maker.show(renewed)
    assert listener.reload()
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shown(listener.current(), client) == der(renewed)


def test_two_generations_of_an_authority(maker: Maker, tmp_path: Path) -> None:
    """Old and new clients get in while both authorities are believed; then the old no longer, not even by a session."""
    (tmp_path / "next").mkdir()
    later = Maker(tmp_path / "next")
    listener = maker.listener()
    old, new = make_client(maker.files.read()), make_client(maker.files.read())
    later.show(later.pair(common_name="client"))
    assert later.files.certificate
    new.load_cert_chain(later.files.certificate, later.files.key)
    kept, _ = connect(listener.current(), old)
    with pytest.raises(ssl.SSLError):
        connect(listener.current(), new)
    maker.believe(maker.root, later.root)
    assert listener.reload()
    connect(listener.current(), old)
    connect(listener.current(), new)
    maker.believe(later.root)
    assert listener.reload()
    connect(listener.current(), new)
    for session in (None, kept.session):
        with pytest.raises(ssl.SSLError):
            connect(listener.current(), old, session=session)


def test_a_client_takes_new_authorities_and_another_context(maker: Maker, tmp_path: Path) -> None:
    """Whoever keeps connections sees by the context which of them are outdated."""
    (tmp_path / "next").mkdir()
    later = Maker(tmp_path / "next")
    later.show(later.pair("a.host.example"))
    server = make_server(PemFiles(later.files.certificate, later.files.key).read())
    client = maker.client()
    before, told = client.current(), []
    client.tell(lambda: told.append(1))
    with pytest.raises(ssl.SSLError):
        connect(server, client.current())
    maker.believe(maker.root, later.root)
    assert client.reload()
    connect(server, client.current())
    assert client.current() is not before
    assert told == [1]


def _garbage(maker: Maker) -> None:
    assert maker.files.certificate
    maker.files.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def _half(maker: Maker) -> None:
    assert maker.files.certificate
    maker.files.certificate.write_bytes(pem(maker.pair("a.host.example", "b.host.example")[0])[:200])


def _half_of_two(maker: Maker) -> None:
    assert maker.files.authorities
    maker.files.authorities.write_bytes(pem(maker.root) + pem(maker.root)[:200])


def _missing(maker: Maker) -> None:
    assert maker.files.key
    maker.files.key.unlink()


def _mismatched(maker: Maker) -> None:
    assert maker.files.certificate
    maker.files.certificate.write_bytes(pem(maker.pair("a.host.example", "b.host.example")[0]))


def _intermediate(maker: Maker) -> tuple[x509.Certificate, tuple[x509.Name, Any]]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate")])
    key = ec.generate_private_key(ec.SECP256R1())
    return maker.sign(name, key, ca=True), (name, key)


def _wrong_chain(maker: Maker) -> None:
    maker.show(maker.pair("a.host.example", "b.host.example"), _intermediate(maker)[0])


def _no_authority(maker: Maker) -> None:
    assert maker.files.authorities
    maker.files.authorities.write_text("")


def _pair(*hosts: str, **options: Any) -> Callable[[Maker], None]:
    return lambda maker: maker.show(maker.pair(*(hosts or ("a.host.example", "b.host.example")), **options))


def _dead_authority(maker: Maker) -> None:
    maker.believe(maker.sign(maker.name, maker.key, ca=True, since=-2 * DAY, until=-DAY))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_garbage, "no PEM certificate"),
        (_half, "no PEM certificate"),
        (_half_of_two, "without its end"),
        (_missing, "cannot be read"),
        (_mismatched, "is not the key of the certificate"),
        (_wrong_chain, "certificate 2 of the chain did not issue certificate 1"),
        (_no_authority, "no PEM certificate"),
        (_dead_authority, "expired on"),
        (_pair(since=-2 * DAY, until=-DAY), "expired on"),
        (_pair(since=DAY, until=2 * DAY), "not valid before"),
        (_pair(usage=(CLIENT,)), "not made for servers"),
        (_pair("a.host.example", "c.host.example"), "no longer covers DNS:b.host.example as"),
    ],
)
def test_bad_material_is_refused_and_the_old_kept(
    maker: Maker, spoil: Callable[[Maker], None], reason: str
) -> None:
    """The reason names the file, clients notice nothing, and good material is taken afterwards."""
    listener, client = maker.listener(), make_client(maker.files.read())
    old = shown(listener.current(), client)
    spoil(maker)
    for _ in range(2):
        with pytest.raises(TlsError, match=reason) as caught:
            listener.reload()
        assert caught.value.file in maker.files.paths
        assert shown(listener.current(), client) == old
    good = maker.pair("*.host.example", usage=(SERVER,))
    maker.show(good)
    maker.believe(maker.root)
    assert listener.reload()
    assert shown(listener.current(), client) == der(good)


def test_a_chain_is_taken_whole(maker: Maker) -> None:
    """With the intermediate in the file a client that knows only the root gets through."""
    listener, client = maker.listener(), make_client(maker.files.read())
    intermediate, issuer = _intermediate(maker)
    chained = maker.pair("a.host.example", "b.host.example", issuer=issuer)
    maker.show(chained, intermediate)
    assert listener.reload()
    client.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    assert shown(listener.current(), client) == der(chained)


def test_an_expired_certificate_is_replaced_whatever_the_new_one_names(maker: Maker) -> None:
    """Names are only asked for while the old certificate serves them."""
    maker.show(maker.pair("a.host.example", "b.host.example", since=-2 * DAY, until=-DAY))
    listener = maker.listener()
    maker.show(maker.pair("a.host.example"))
    assert listener.reload()


def test_a_client_keeps_its_name(maker: Maker) -> None:
    """The other side knows a client by its common name."""
    maker.show(maker.pair(common_name="notary-server"))
    client = maker.client()
    maker.show(maker.pair(common_name="somebody"))
    with pytest.raises(TlsError, match="no longer covers CN:notary-server"):
        client.reload()
    maker.show(maker.pair(common_name="notary-server", usage=(SERVER,)))
    with pytest.raises(TlsError, match="not made for clients"):
        client.reload()


def test_validities_tell_what_ends_first(maker: Maker) -> None:
    """Of a chain the first to expire; of authorities the first of those that have not expired yet."""
    intermediate, issuer = _intermediate(maker)
    maker.show(maker.pair("a.host.example", issuer=issuer, until=9 * DAY), intermediate)
    dead = maker.sign(maker.name, maker.key, ca=True, since=-2 * DAY, until=-DAY)
    soon = maker.sign(maker.name, maker.key, ca=True, until=2 * DAY)
    maker.believe(dead, maker.sign(maker.name, maker.key, ca=True, until=5 * DAY), soon)
    found = maker.listener().validities()
    assert found["listener"].not_after == intermediate.not_valid_after_utc.timestamp()
    assert found["client_ca"].not_after == soon.not_valid_after_utc.timestamp()
    maker.believe(dead)
    assert maker.client().validities()["ca"].not_after == dead.not_valid_after_utc.timestamp()


def test_a_key_with_the_certificate_in_one_file(maker: Maker) -> None:
    """Some tools write it so."""
    certificate, key = maker.pair("a.host.example")
    path = maker.folder / "both.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem(certificate))
    server = make_server(PemFiles(path, path).read())
    assert shown(server, make_client(maker.files.read())) == der((certificate, key))


def test_what_the_other_side_showed_is_remembered(maker: Maker) -> None:
    """By the name that was asked for, the latest; of all names the first to expire counts."""
    client = ReloadingContext("client", "ca", maker.files, make_client, "client", peers=("peer", Peers()))
    assert "peer" not in client.validities()
    server = maker.listener()
    for until in (5, 3, 4):
        pair = maker.pair("a.host.example", "b.host.example", until=until * DAY)
        maker.show(pair)
        assert server.reload()
        # In the clients' place too, whose contexts are made anew.
        assert client.reload()
        connect(server.current(), client.current())
        assert client.validities()["peer"].not_after == pair[0].not_valid_after_utc.timestamp()
    maker.show(maker.pair("a.host.example", "b.host.example", until=9 * DAY))
    assert server.reload()
    connect(server.current(), client.current(), "b.host.example")
    assert client.validities()["peer"].not_after == pair[0].not_valid_after_utc.timestamp()


@pytest.mark.parametrize("known", [True, False])
def test_optional_client_certificates(maker: Maker, known: bool) -> None:
    """Who shows one is known by it, who shows none gets in all the same; a stranger's is refused."""
    server = make_server(maker.files.read(), ssl.CERT_OPTIONAL)
    material = maker.files.read() if known else PemFiles(authorities=maker.files.authorities).read()
    _, there = connect(server, make_client(material))
    assert subject(there.getpeercert()) == ("leaf" if known else "")
    stranger = Authority(maker.folder / "stranger").issue("server", LOCAL_NAMES)
    client = make_client(PemFiles(stranger.certificate, stranger.key, maker.files.authorities).read())
    with pytest.raises(ssl.SSLError):
        connect(server, client)


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        ([SPIFFE_ID], True),
        (["spiffe://example.org/other"], False),
        ([SPIFFE_ID + "/more"], False),
        ([SPIFFE_ID, "spiffe://example.org/other"], False),
        (["a.host.example"], False),
    ],
)
def test_a_signer_is_known_by_its_spiffe_id(maker: Maker, names: list[str], accepted: bool) -> None:
    """Its certificate names that workload alone; the name of the machine does not matter."""
    maker.show(maker.pair(*names))
    server = make_server(PemFiles(maker.files.certificate, maker.files.key).read())
    make = partial(make_client_of, SPIFFE_ID)
    client = ReloadingContext("signer_client", "signer_ca", maker.files, make, "client").current()
    if accepted:
        here, _ = connect(server, client, "elsewhere.example")
        assert subject(here.getpeercert()) == SPIFFE_ID
        return
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        connect(server, client, "a.host.example")
    assert caught.value.verify_message == f"it is not that of {SPIFFE_ID}"
