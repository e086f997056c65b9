"""Bundles and key sets: what is taken, passed over and refused; files that change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from notary_server.auth.issuers import Issuer, IssuerKeys
from notary_server.auth.key_files import MAX_FILE_BYTES, KeyFileError, KeyFiles
from notary_server.auth.token.keys import KeysError, read_bundle, read_jwks
from tests.support.tokens import Signer, key_set

SIGNER, OTHER = Signer(), Signer()
SHORT = Signer(rsa.generate_private_key(65537, 1024))
STRANGE = Signer(ec.generate_private_key(ec.SECP256K1()))


def _set(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def test_a_bundle_gives_each_certificate_and_its_key_by_both_names() -> None:
    """Text between the certificates does not matter."""
    ring = read_bundle(b"comment\n" + SIGNER.pem + b"\n" + OTHER.pem)
    assert len(ring.certificates) == 2
    assert set(ring.named) == {name for one in (SIGNER, OTHER) for name in (one.fingerprint, one.thumbprint)}


def _private_pem() -> bytes:
    return SIGNER.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "no PEM certificate"),
        (b"hello", "no PEM certificate"),
        (SIGNER.pem[:200], "no PEM certificate"),
        (SIGNER.pem + SIGNER.pem[:200], "without its end"),
        (_private_pem(), "no PEM certificate"),
        (SHORT.pem, "1024 bits"),
    ],
)
def test_a_bundle_without_a_usable_certificate_is_refused(pem: bytes, reason: str) -> None:
    """Nothing is half believed."""
    with pytest.raises(KeysError, match=reason):
        read_bundle(pem)


@pytest.mark.parametrize(
    "extra",
    [
        {"kty": "oct", "k": "AAAA", "kid": "shared"},
        {**OTHER.jwk, "use": "enc"},
        {**OTHER.jwk, "key_ops": ["deriveKey"]},
        {"kty": "future", "kid": "x"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        SHORT.jwk,
    ],
)
def test_keys_for_other_purposes_are_passed_over(extra: dict[str, Any]) -> None:
    """A set may hold more than keys for signatures; alone they make no key set."""
    ring = read_jwks(_set(extra, {**SIGNER.jwk, "kid": "a"}))
    assert set(ring.named) == {"a", SIGNER.fingerprint, SIGNER.thumbprint}
    with pytest.raises(KeysError, match="no public key for signatures"):
        read_jwks(_set(extra))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no key set"),
        (b'{"keys":{}}', "no key set"),
        (_set(), "no public key"),
        (_set("x"), "no JSON object"),
        (_set({**SIGNER.jwk, "d": "AA"}), "private key"),
        (_set({**SIGNER.jwk, "kid": "a"}, {**OTHER.jwk, "kid": "a"}), "one kid to two keys"),
        (_set(*[SIGNER.jwk] * 101), "101 keys"),
    ],
)
def test_a_key_set_that_cannot_be_meant_is_refused(data: bytes, reason: str) -> None:
    """With a reason for people."""
    with pytest.raises(KeysError, match=reason):
        read_jwks(data)


def test_a_key_on_another_curve_signs_no_tokens() -> None:
    """Bitcoin's curve has no algorithm that is taken."""
    with pytest.raises(KeysError, match="signs no tokens"):
        read_bundle(STRANGE.pem)


def test_changed_files_count_at_once_and_broken_ones_never(tmp_path: Path) -> None:
    """New keys are built whole and swapped; the old stay when the file is broken, gone or far too long."""
    bundle, keys = tmp_path / "bundle.pem", tmp_path / "keys.json"
    bundle.write_bytes(SIGNER.pem)
    keys.write_bytes(key_set(OTHER))
    held = IssuerKeys(Issuer("i", "s", "r", KeyFiles(bundle, keys)))
    before = held.ring
    assert before is not None
    assert {SIGNER.fingerprint, OTHER.fingerprint, "key 0"} <= set(before.named)
    assert not held.reload()
    assert held.ring is before
    for broken in (b"", b'{"keys":[]}', b" " * (MAX_FILE_BYTES + 1)):
        keys.write_bytes(broken)
        with pytest.raises(KeyFileError, match=r"keys\.json"):
            held.reload()
        assert held.ring is before
    keys.write_bytes(key_set(SIGNER))
    bundle.unlink()
    with pytest.raises(KeyFileError, match=r"bundle\.pem"):
        assert not held.reload()
    assert held.ring is before
    bundle.write_bytes(SIGNER.pem)
    assert held.reload()
    assert held.ring is not None
    assert OTHER.fingerprint not in held.ring.named
