"""Keys that sign tokens, and the tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import JWSRegistry

from notary_server.tokens.files import FileProblem
from notary_server.tokens.issue import signed_token
from notary_server.tokens.keys import (
    BUNDLE,
    LIFETIME,
    TokenKey,
    TokenKeys,
    load_keys,
    new_key,
    remove_key,
    store_key,
    write_bundle,
)
from notary_server.tokens.scopes import parse_scopes

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
REGISTRY = JWSRegistry(algorithms=["ES256"])
# A certificate is longer than joserfc takes unless told.
REGISTRY.max_header_length = 4096


def _stored(folder: Path, *starts: datetime) -> list[TokenKey]:
    keys = [new_key("tokens", start) for start in starts]
    for key in keys:
        store_key(folder, key)
    return keys


def test_the_newest_key_whose_time_has_come_signs(tmp_path: Path) -> None:
    """A key is published before it signs, and the one before it goes on meanwhile."""
    old, new = _stored(tmp_path, NOW - DAY, NOW + DAY)
    keys = load_keys(tmp_path)
    assert [key.key_id for key in keys.keys] == [new.key_id, old.key_id]
    for moment, expected in (
        (NOW - DAY - timedelta(seconds=1), None),
        (NOW - DAY, old),
        (NOW, old),
        (NOW + DAY, new),
        (NOW + LIFETIME, new),
        (NOW + DAY + LIFETIME, None),
    ):
        signing = keys.signing(moment)
        assert (signing and signing.key_id) == (expected and expected.key_id), moment


def test_a_certificate_is_good_before_its_key_signs(tmp_path: Path) -> None:
    """Whoever checks a token may have a clock that is late."""
    (key,) = _stored(tmp_path, NOW)
    assert key.starts == NOW
    assert key.certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    key.certificate.verify_directly_issued_by(key.certificate)


def test_keys_are_their_owners_and_certificates_are_for_all(tmp_path: Path) -> None:
    """The bundle holds no private key; it is no key itself."""
    keys = _stored(tmp_path, NOW, NOW + DAY)
    bundle = write_bundle(tmp_path, keys)
    assert bundle == tmp_path / BUNDLE
    assert b"PRIVATE" not in bundle.read_bytes()
    assert x509.load_pem_x509_certificates(bundle.read_bytes()) == [key.certificate for key in keys]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}
    assert len(load_keys(tmp_path).keys) == 2


def test_a_removed_key_is_gone(tmp_path: Path) -> None:
    """The others stay."""
    old, new = _stored(tmp_path, NOW, NOW + DAY)
    remove_key(tmp_path, old)
    assert [key.key_id for key in load_keys(tmp_path).keys] == [new.key_id]
    with pytest.raises(FileProblem, match="cannot be removed"):
        remove_key(tmp_path, old)


def test_a_folder_without_keys_says_how_to_make_one(tmp_path: Path) -> None:
    """Whether it is there or not."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileProblem, match="tokens key create"):
            load_keys(folder)


@pytest.mark.parametrize("fault", ["no key", "no certificate", "another's", "garbage", "RSA", "P-384"])
def test_a_broken_key_is_refused(tmp_path: Path, fault: str) -> None:
    """Never left out in silence, and never shown."""
    key, other = new_key("tokens", NOW), new_key("tokens", NOW)
    path = store_key(tmp_path, key)
    private, certificate = key.private, key.certificate.public_bytes(Encoding.PEM)

    def pem(of: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
        return of.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    path.write_bytes(
        {
            "no key": certificate,
            "no certificate": pem(private),
            "another's": pem(other.private) + certificate,
            "garbage": b"garbage",
            "RSA": pem(rsa.generate_private_key(65537, 2048)) + certificate,
            "P-384": pem(ec.generate_private_key(ec.SECP384R1())) + certificate,
        }[fault]
    )
    with pytest.raises(FileProblem) as caught:
        load_keys(tmp_path)
    assert str(path) in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def _token(key: TokenKey) -> str:
    return signed_token(
        key,
        issuer="tokens.example.org",
        service="registry.example.org",
        subject="alice",
        granted=parse_scopes(["repository:r.example.org/a:push,pull", "repository(plugin):b:pull"]),
        now=NOW,
        lifetime=300,
        token_id="an id",
    )


def test_a_token_says_what_the_registry_reads() -> None:
    """Claims as the distribution specification has them: the audience one word, times whole seconds."""
    key = new_key("tokens", NOW)
    token = jwt.decode(_token(key), ECKey.import_key(key.jose.as_dict(private=False)), registry=REGISTRY)
    assert token.claims == {
        "iss": "tokens.example.org",
        "sub": "alice",
        "aud": "registry.example.org",
        "iat": 1795608000,
        "nbf": 1795608000,
        "exp": 1795608300,
        "jti": "an id",
        "access": [
            {"type": "repository", "name": "r.example.org/a", "actions": ["pull", "push"]},
            {"type": "repository", "class": "plugin", "name": "b", "actions": ["pull"]},
        ],
    }
    assert token.header["kid"] == key.key_id
    assert len(token.header["x5c"]) == 1


def test_published_keys_verify_tokens_and_are_public() -> None:
    """The JWK set names keys as tokens do."""
    keys = TokenKeys((new_key("tokens", NOW), new_key("tokens", NOW)))
    published = keys.document
    assert all("d" not in entry for entry in published["keys"])
    ring = KeySet.import_key_set(published)  # type: ignore[arg-type]
    for key in keys.keys:
        assert jwt.decode(_token(key), ring, registry=REGISTRY).claims["sub"] == "alice"


def test_the_key_id_is_libtrusts() -> None:
    """Twelve groups of four letters, from the SHA-256 of the public key."""
    groups = new_key("tokens", NOW).key_id.split(":")
    assert [len(group) for group in groups] == [4] * 12
    assert new_key("tokens", NOW).name.count("-") == 2
