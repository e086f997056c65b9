"""What Notary's own signer encrypts under a passphrase: read, written, and refused when it is something else."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from notary_signer.takeover.jwe import ALGORITHM, ENCRYPTION, NotAJwe, WrongPassphrase, open_jwe, seal_jwe

GO_1_15 = (
    b"eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjo4MTkyLCJwMnMiOiI2b19Wajlud2IxclZscWpJIn0"
    b".3y7VZqPohb70dvwRl56TvRmzCbbzFYJvm6v1Vixw2n1zGqVKdownvQ.SGmsE_r068vmPAYJ.cIZXFY2PThq9"
    b".uOoY8YzlY7FzLzsj3MYkVQ"
)
"""Made by Notary's JOSE library under Go 1.15.15, passphrase `passphrase-one`."""


def test_a_key_of_go_1_15_is_opened_and_recognised() -> None:
    """The mistaken derivation gives the plaintext, and is told apart."""
    opened = open_jwe(GO_1_15, b"passphrase-one")
    assert (opened.plaintext, opened.derivation) == (b"hello-key", "go-1.15")


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=100))
def test_what_is_sealed_opens(plaintext: bytes, passphrase: bytes) -> None:
    """Passphrases longer than a block of the hash are no exception."""
    opened = open_jwe(seal_jwe(plaintext, passphrase, os.urandom), passphrase)
    assert (opened.plaintext, opened.derivation) == (plaintext, "standard")


def test_what_is_sealed_is_a_standard_jwe() -> None:
    """A JOSE library opens it, and what the library seals opens here."""
    key = OctKey.import_key(b"a secret of more than 14 bytes")
    sealed = seal_jwe(b"plain", b"a secret of more than 14 bytes", os.urandom).decode()
    assert jwe.decrypt_compact(sealed, key, algorithms=[ALGORITHM, ENCRYPTION]).plaintext == b"plain"
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "p2c": 4096}
    other = jwe.encrypt_compact(header, b"plain", key, algorithms=[ALGORITHM, ENCRYPTION])
    assert open_jwe(other.encode(), b"a secret of more than 14 bytes").plaintext == b"plain"


@pytest.mark.parametrize("passphrase", [b"", b"passphrase-two", b"passphrase-one "])
def test_another_passphrase_opens_nothing(passphrase: bytes) -> None:
    """The error names no secret."""
    with pytest.raises(WrongPassphrase) as raised:
        open_jwe(GO_1_15, passphrase)
    assert "hello" not in str(raised.value)


@pytest.mark.parametrize("part", range(5))
def test_an_altered_part_is_noticed(part: int) -> None:
    """A changed bit anywhere keeps it shut."""
    parts = seal_jwe(b"plain", b"secret", os.urandom).split(b".")
    changed = bytearray(parts[part])
    changed[len(changed) // 2] = ord("A") if changed[len(changed) // 2] != ord("A") else ord("B")
    parts[part] = bytes(changed)
    with pytest.raises((NotAJwe, WrongPassphrase)):
        open_jwe(b".".join(parts), b"secret")


def _with_header(header: bytes) -> bytes:
    import base64

    return b".".join([base64.urlsafe_b64encode(header).rstrip(b"="), *GO_1_15.split(b".")[1:]])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "five parts"),
        (b"a.b.c", "five parts"),
        (b"!.a.b.c.d", "base64url"),
        (b"A" * 70_000, "longer than"),
        (_with_header(b"nonsense"), "not JSON"),
        (_with_header(b"[" * 5000), "not JSON"),
        (_with_header(b"[]"), "does not name"),
        (_with_header(b'{"alg":"dir","enc":"A256GCM"}'), "does not name"),
        (_with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM"}'), "p2c"),
        (_with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2000000}'), "p2c"),
        (_with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":true}'), "p2c"),
        (_with_header(b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":1,"p2s":7}'), "p2s"),
        (GO_1_15.replace(b"SGmsE_r068vmPAYJ", b"SGms"), "wrong length"),
    ],
)
def test_anything_else_is_refused_with_a_reason(value: bytes, said: str) -> None:
    """A row that somebody else wrote, or that is damaged."""
    with pytest.raises(NotAJwe, match=said):
        open_jwe(value, b"passphrase-one")
