"""Which certificates make a root trustworthy (docs/reference/protocol.md, 9 and 24.14 to 24.16)."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from notary_server.tuf import certificates, parse
from notary_server.tuf.certificates import BadRootError
from notary_server.tuf.model import Parsed, PublicKey, Root, Trusted
from notary_server.tuf.names import Gun
from tests.publisher import (
    Key,
    Publisher,
    RootKey,
    certificate_authority,
    ecdsa_key,
    ed25519_key,
    file_of,
    root_key,
    rsa_key,
    sha1_certificate,
)

GUN = Gun("reg.example/team/app")
NOW = time.time_ns()
SECOND = 10**9
DAY = 86_400 * SECOND


def root(
    keys: Sequence[Key],
    *,
    threshold: int = 1,
    signers: Sequence[Key] | None = None,
    version: int = 1,
    **knobs: Any,
) -> Parsed[Root]:
    """A root over these root keys, signed by `signers` (all of them if None)."""
    owner = Publisher(GUN)
    owner.root_keys = list(keys)
    owner.server_keys = {role: ecdsa_key().object for role in ("timestamp", "snapshot")}
    signed = owner.root_signed(version)
    signed["roles"]["root"]["threshold"] = threshold
    return parse.parse_root(file_of(signed, keys if signers is None else signers, **knobs))


def expired_key(name: str = GUN) -> RootKey:
    """A root key whose certificate ended yesterday."""
    return root_key(name, not_before=timedelta(days=-30), not_after=timedelta(days=-1))


def trusted(parsed: Parsed[Root], current: Trusted[Root] | None = None, now_ns: int = NOW) -> Trusted[Root]:
    """The root, trusted."""
    found = certificates.trust_root(GUN, parsed, now_ns, current)
    assert found.parsed is parsed
    return found


def why_not(parsed: Parsed[Root], current: Trusted[Root] | None = None, now_ns: int = NOW) -> str:
    """Why a root is not trusted: something to read, without digests."""
    with pytest.raises(BadRootError) as caught:
        certificates.trust_root(GUN, parsed, now_ns, current)
    text = str(caught.value)
    assert len(text) < 300
    return text


def stored(parsed: Parsed[Root]) -> Trusted[Root]:
    """The root as it is loaded from storage."""
    return certificates.stored_root(GUN, parsed)


NOT_VALID = "none of its keys is a certificate for reg.example/team/app that is valid now"
NOT_OWN = "it is not signed with its own root keys"
NOT_CURRENT = "it is not signed with the root keys that are published for this repository already"


@pytest.mark.parametrize(
    "name",
    [GUN, "reg.example/*", "reg.example/team/app*", "reg.example/te**", "*", "reg.example/team/app***"],
)
def test_names_that_fit(name: str) -> None:
    """The common name is the GUN, or a prefix of it followed by stars."""
    parsed = root([root_key(name)])
    trusted(parsed)
    assert stored(parsed).body == parsed.body


@pytest.mark.parametrize("name", [None, "reg.example/team", "reg.example/team/app2", "Reg.example/team/app", "reg.example/other/*",
                                  "reg.*/team/app", "*app", "reg.example/team/app/*"])  # fmt: skip
def test_names_that_do_not_fit(name: str | None) -> None:
    """Any other name, or none, does not count."""
    parsed = root([root_key(name)])
    assert why_not(parsed) == NOT_VALID
    with pytest.raises(BadRootError):
        stored(parsed)


def test_the_last_common_name_counts() -> None:
    """Of several common names the last one counts, as for Go's clients."""

    def certificate(private: ec.EllipticCurvePrivateKey, *names: str) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        base = root_key(GUN, private).certificate
        builder = x509.CertificateBuilder(
            issuer_name=subject, subject_name=subject, public_key=private.public_key(), serial_number=1
        )
        return (
            builder.not_valid_before(base.not_valid_before_utc)
            .not_valid_after(base.not_valid_after_utc)
            .sign(private, hashes.SHA256())
        )

    private = ec.generate_private_key(ec.SECP256R1())
    trusted(root([root_key(None, private, certificate=certificate(private, "other", GUN))]))
    assert (
        why_not(root([root_key(None, private, certificate=certificate(private, GUN, "other"))])) == NOT_VALID
    )


@pytest.mark.parametrize(
    "private",
    [ec.generate_private_key(ec.SECP224R1()), ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1()),
     rsa_key(2048).private, rsa_key(3072).private],
)  # fmt: skip
def test_key_kinds(private: Any) -> None:
    """Certificates over every usable kind of key count."""
    parsed = root([root_key(GUN, private)])
    trusted(parsed)
    stored(parsed)


def test_weak_certificates() -> None:
    """A certificate that is signed with SHA-1, holds a short RSA key, or ends before it begins, does not count."""
    private = ec.generate_private_key(ec.SECP256R1())
    sha1 = root_key(None, private, certificate=sha1_certificate(private, GUN))
    short = root_key(GUN, rsa_key(1024).private)
    for key in (sha1, short):
        assert why_not(root([key])) == NOT_VALID
        with pytest.raises(BadRootError):
            stored(root([key]))


def test_keys_that_are_no_certificates() -> None:
    """Bare keys, certificates of authorities, Ed25519 certificates and text that is no bundle do not count."""
    private = ec.generate_private_key(ec.SECP256R1())
    authority = root_key(GUN, private, ca=True)
    good = root_key(GUN)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    keys = [
        ecdsa_key(), ed25519_key(), rsa_key(), authority, root_key(GUN, ed25519_key().private),
        root_key(GUN, bundle=b"nothing"),
        root_key(GUN, private, bundle=parameters + root_key(GUN, private).public),
        RootKey(good.keytype, good.public + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good.private, good.certificate),
    ]  # fmt: skip
    for key in keys:
        assert why_not(root([key])) == NOT_VALID


def test_order_in_a_bundle() -> None:
    """The one certificate that is no authority comes first; another order, or a second one, makes the key unusable."""
    authority = certificate_authority()
    key = root_key(GUN, issuer=authority, chain=(authority.certificate,))
    trusted(root([key]))
    leaf = key.certificate.public_bytes(Encoding.PEM)
    other = root_key(GUN).public
    for bundle in (authority.pem + leaf, leaf + other, leaf + authority.pem + other):
        assert (
            why_not(root([root_key(GUN, key.private, certificate=key.certificate, bundle=bundle)]))
            == NOT_VALID
        )


def test_long_bundles() -> None:
    """A bundle of many authorities counts too, up to the length that is looked at."""
    authority = certificate_authority()
    trusted(root([root_key(GUN, chain=(authority.certificate,) * 40)]))
    assert why_not(root([root_key(GUN, chain=(authority.certificate,) * 200)])) == NOT_VALID


def test_explicitly_no_authority() -> None:
    """Basic constraints that say "no authority" are as good as none."""
    trusted(root([root_key(GUN, ca=False)]))


def test_dates() -> None:
    """A certificate counts from one day before it begins until the very second it ends."""
    parsed = root([root_key(GUN)])
    certificate = x509.load_pem_x509_certificate(next(iter(root_public(parsed))))
    begin = int(certificate.not_valid_before_utc.timestamp()) * SECOND
    end = int(certificate.not_valid_after_utc.timestamp()) * SECOND
    for moment in (begin - DAY, begin, end):
        trusted(parsed, now_ns=moment)
    for moment in (begin - DAY - 1, end + 1):
        assert why_not(parsed, now_ns=moment) == NOT_VALID
        stored(parsed)


def root_public(parsed: Parsed[Root]) -> list[bytes]:
    """The public texts of the root role's keys."""
    return [parsed.body.keys[keyid].public for keyid in parsed.body.roles["root"].keyids]


def test_ended_authority_in_a_bundle() -> None:
    """Clients leave an ended authority out and get another key: such a bundle does not count."""
    authority = certificate_authority(not_after=timedelta(days=-1))
    key = root_key(GUN, chain=(authority.certificate,))
    assert why_not(root([key])) == NOT_VALID


@pytest.mark.parametrize("bend", [
    lambda text: b"text\n" + text, lambda text: text + b"text\n", lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: text.rstrip(b"\n"), lambda text: text.replace(b"-----\n", b"-----\nKey: value\n\n", 1),
])  # fmt: skip
def test_bundles_spelled_otherwise(bend: Any) -> None:
    """A bundle that is not spelled as clients rebuild it is another key than its own, so its signature does not count."""
    key = root_key(GUN)
    spelled = RootKey(key.keytype, bend(key.public), key.private, key.certificate)
    assert why_not(root([spelled])).startswith(NOT_OWN)
    assert why_not(root([spelled, root_key(GUN)], signers=[spelled])).startswith(NOT_OWN)


def test_keytype_must_fit() -> None:
    """A certificate filed as the other type is another key than clients rebuild."""
    assert why_not(root([root_key(GUN, keytype="rsa-x509")])).startswith(NOT_OWN)
    assert why_not(root([root_key(GUN, keytype="ecdsa")])).startswith(NOT_OWN)


def test_filed_id_of_a_root_key_does_not_matter() -> None:
    """Root keys are taken under their computed IDs."""
    key = root_key(GUN)
    owner = Publisher(GUN, root=key)
    owner.server_keys = {role: ecdsa_key().object for role in ("timestamp", "snapshot")}
    signed = owner.root_signed()
    signed["keys"]["elsewhere"] = signed["keys"].pop(key.id)
    signed["roles"]["root"]["keyids"] = ["elsewhere"]
    trusted(parse.parse_root(file_of(signed, [key])))


def test_own_threshold() -> None:
    """Enough valid certificates must sign; bare keys beside them do no harm and no good."""
    first, second, bare = root_key(GUN), root_key(GUN), ecdsa_key()
    trusted(root([first, second], threshold=2))
    trusted(root([first, bare]))
    assert why_not(root([first, bare], threshold=2)).startswith(NOT_OWN)
    assert why_not(root([first, second], signers=[])).startswith(NOT_OWN)
    assert why_not(root([first, second], threshold=2, signers=[first])).startswith(NOT_OWN)
    assert why_not(root([first, expired_key()], threshold=2)).startswith(NOT_OWN)


def test_one_private_key_counts_once() -> None:
    """Two certificates over one private key do not meet a threshold of 2, neither for the new root nor for the current."""
    first = root_key(GUN)
    twin = root_key(GUN, first.private)
    assert first.id != twin.id
    assert "has 1 valid" in why_not(root([first, twin], threshold=2))
    other = root_key(GUN)
    current = trusted(root([first, twin, other], threshold=2))
    assert why_not(root([root_key(GUN)], signers=[first, twin]), current).startswith(NOT_CURRENT)


def test_rotation() -> None:
    """A successor is signed by the current root's keys, as many as its threshold asks, and by its own."""
    old = [root_key(GUN), root_key(GUN)]
    new = root_key(GUN)
    current = trusted(root(old, threshold=2))
    trusted(root([new], signers=[*old, new]), current)
    assert why_not(root([new], signers=[old[0], new]), current).startswith(NOT_CURRENT)
    assert why_not(root([new]), current).startswith(NOT_CURRENT)
    assert why_not(root([new], signers=old), current).startswith(NOT_OWN)
    assert why_not(root([new], signers=[]), current) == f"{NOT_CURRENT}: it has no signatures"
    trusted(root(old, threshold=2), current)


def test_renewed_certificate() -> None:
    """A new certificate over the old private key is a new key: the old certificate's signature is needed too."""
    old = root_key(GUN)
    renewed = root_key(GUN, old.private)
    current = trusted(root([old]))
    trusted(root([renewed], signers=[old, renewed]), current)
    assert why_not(root([renewed]), current).startswith(NOT_CURRENT)


def test_successor_after_the_certificate_has_ended() -> None:
    """When the current root's certificate has ended, its successor is still accepted if both keys signed it."""
    old = expired_key()
    parsed = root([old])
    assert why_not(parsed) == NOT_VALID
    current = stored(parsed)
    assert certificates.certificate_end(GUN, current) < NOW
    new = root_key(GUN)
    trusted(root([new], signers=[old, new]), current)
    assert why_not(root([new]), current).startswith(NOT_CURRENT)
    assert why_not(root([old], version=2), current) == NOT_VALID


def test_successor_of_a_root_with_an_ended_authority() -> None:
    """The same holds if it is an authority in the current root's bundle that has ended."""
    authority = certificate_authority(not_after=timedelta(days=-1))
    old = root_key(GUN, issuer=authority, chain=(authority.certificate,))
    current = stored(root([old]))
    new = root_key(GUN)
    trusted(root([new], signers=[old, new]), current)
    ended = authority.certificate.not_valid_after_utc
    assert certificates.certificate_end(GUN, current) == int(ended.timestamp()) * SECOND


def test_stored_root_must_be_sound() -> None:
    """A stored root that its own certificates did not sign is refused, also that of another GUN."""
    good = root([root_key(GUN)])
    assert stored(good).parsed.message == good.message
    for bad in root([root_key(GUN)], signers=[]), root([root_key(GUN)], signers=[root_key(GUN)]):
        with pytest.raises(BadRootError):
            stored(bad)
    with pytest.raises(BadRootError):
        certificates.stored_root(Gun("other"), good)


def end_of(key: RootKey) -> int:
    """When the certificate ends, in ns."""
    return int(key.certificate.not_valid_after_utc.timestamp()) * SECOND


@pytest.mark.parametrize(("threshold", "days"), [(1, 30), (2, 20), (3, 10)])
def test_certificate_end(threshold: int, days: int) -> None:
    """The certificates have ended when too few of the signers are left to meet the threshold."""
    keys = {left: root_key(GUN, not_after=timedelta(days=left)) for left in (10, 20, 30)}
    silent = root_key(GUN, not_after=timedelta(days=90))
    current = trusted(root([*keys.values(), silent], threshold=threshold, signers=list(keys.values())))
    assert certificates.certificate_end(GUN, current) == end_of(keys[days])


def test_certificate_end_of_twins() -> None:
    """Of two certificates over one private key the later end counts, and only once."""
    long = root_key(GUN, not_after=timedelta(days=30))
    short = root_key(GUN, long.private, not_after=timedelta(days=20))
    other = root_key(GUN, not_after=timedelta(days=10))
    for keys in ([long, short, other], [short, long, other]):
        assert certificates.certificate_end(GUN, trusted(root(keys))) == end_of(long)
        assert certificates.certificate_end(GUN, trusted(root(keys, threshold=2))) == end_of(other)


def test_weakness_of_delegation_keys() -> None:
    """A delegation's certificate is weak by SHA-1 or short RSA alone; its name and dates, and bare keys, do not matter."""
    private = ec.generate_private_key(ec.SECP256R1())
    sha1 = sha1_certificate(private, "x").public_bytes(Encoding.PEM)
    short = root_key("x", rsa_key(1024).private)

    def weakness(key: Key) -> str | None:
        return certificates.weakness(PublicKey(key.keytype, key.public))

    assert weakness(expired_key("anything")) is None
    assert weakness(ecdsa_key()) is None
    assert weakness(rsa_key(1024)) is None
    assert weakness(root_key("x", private, bundle=sha1)) == "its certificate is signed with SHA-1"
    assert weakness(short) == "its certificate holds an RSA key of less than 2048 bits"
    assert weakness(
        root_key("x", bundle=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + short.public)
    )
    assert weakness(root_key("x", bundle=b"-----BEGIN X-----\nAAAA\n-----END X-----\n")) is None


def test_certificate_that_ends_before_it_begins() -> None:
    """Such a certificate is of no use, whatever the date; the library makes none, so its dates are swapped by hand."""
    key = root_key("x")
    der = key.certificate.public_bytes(Encoding.DER)
    begin, end = (
        f"{date:%y%m%d%H%M%SZ}".encode()
        for date in (key.certificate.not_valid_before_utc, key.certificate.not_valid_after_utc)
    )
    dates = begin + b"\x17\x0d" + end
    assert der.count(dates) == 1
    swapped = der.replace(dates, end + b"\x17\x0d" + begin)
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(swapped) + b"\n-----END CERTIFICATE-----\n"
    assert certificates.weakness(PublicKey("ecdsa-x509", text)) == "its certificate ends before it begins"
