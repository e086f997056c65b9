"""PURE: the form in which Notary's signer keeps a private key: a JWE under a passphrase.

RFC 7516 in compact form, always with the algorithms PBES2-HS256+A128KW (RFC 7518, 4.8) and A256GCM (5.3). A library
would do for the sound ones. Signers built with Go 1.15 derived another key from the passphrase by mistake, which no
library does, and both have all the rest in common.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

ALGORITHM: Final = "PBES2-HS256+A128KW"
ENCRYPTION: Final = "A256GCM"
ROUNDS: Final = 8192
"""What Notary's signer always uses; few by today's measure."""
MAX_ROUNDS: Final = 1_000_000
"""More are refused: a row could else keep the importer busy for hours."""
MAX_BYTES: Final = 65_536
"""Of the whole JWE; that of an RSA key of 4096 bits has some 3,500."""
SALT_BYTES: Final = 12

_WRAPPING_KEY_BYTES: Final = 16
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
_CONTENT_KEY_BYTES: Final = 32
_BLOCK_BYTES: Final = 64
"""Of SHA-256, to which HMAC pads its key."""

Derivation = Literal["standard", "go-1.15"]
"""How the passphrase became a key: as RFC 8018 says, or as signers built with Go 1.15 did."""


class NotAJwe(ValueError):
    """The value is not a JWE of the kind that Notary's signer writes; the text says in what, without the value."""


class WrongPassphrase(ValueError):
    """The passphrase opens it under none of the derivations, or it was altered."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside, and how it had been protected."""

    plaintext: bytes = field(repr=False)
    derivation: Derivation


@dataclass(frozen=True, slots=True)
class _Parts:
    """The five parts of the compact form, decoded; the header also as it was spelled."""

    spelled_header: bytes
    salt_input: bytes
    rounds: int
    wrapped_key: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes


def open_jwe(compact: bytes, passphrase: bytes) -> Opened:
    """Decrypt what Notary's signer encrypted.

    The standard derivation is tried first. The key wrap's own check tells which of the two is right.

    Raises:
        NotAJwe: it is something else.
        WrongPassphrase: neither derivation of `passphrase` opens it.
    """
    parts = _parse(compact)
    for derivation, derive in _DERIVATIONS.items():
        wrapping_key = derive(passphrase, _salt(parts.salt_input), parts.rounds)
        try:
            content_key = aes_key_unwrap(wrapping_key, parts.wrapped_key)
        except InvalidUnwrap:
            continue
        try:
            plaintext = AESGCM(content_key).decrypt(
                parts.iv, parts.ciphertext + parts.tag, parts.spelled_header
            )
        except (InvalidTag, ValueError):
            break
        return Opened(plaintext, derivation)
    raise WrongPassphrase("the passphrase does not open the key, or the row was altered")


def seal_jwe(plaintext: bytes, passphrase: bytes, random_bytes: Callable[[int], bytes]) -> bytes:
    """Encrypt as Notary's signer does, so that it can read the result.

    Args:
        random_bytes: so many unpredictable bytes, e.g. `os.urandom`.
    """
    salt_input, content_key, iv = (random_bytes(size) for size in (SALT_BYTES, _CONTENT_KEY_BYTES, _IV_BYTES))
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "p2c": ROUNDS, "p2s": _encode(salt_input).decode()}
    spelled = _encode(json.dumps(header, separators=(",", ":")).encode())
    wrapping_key = _standard(passphrase, _salt(salt_input), ROUNDS)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, spelled)
    parts = (aes_key_wrap(wrapping_key, content_key), iv, sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:])
    return b".".join((spelled, *(_encode(part) for part in parts)))


def _parse(compact: bytes) -> _Parts:
    if len(compact) > MAX_BYTES:
        raise NotAJwe(f"it is longer than {MAX_BYTES} bytes")
    spelled = compact.strip().split(b".")
    if len(spelled) != 5:
        raise NotAJwe("it does not have the five parts of a JWE in compact form")
    header, wrapped_key, iv, ciphertext, tag = (_decode(part) for part in spelled)
    try:
        members = json.loads(header)
    except (ValueError, RecursionError):
        raise NotAJwe("its header is not JSON") from None
    if not isinstance(members, dict) or (members.get("alg"), members.get("enc")) != (ALGORITHM, ENCRYPTION):
        raise NotAJwe(f"its header does not name {ALGORITHM} and {ENCRYPTION}")
    rounds, salt = members.get("p2c"), members.get("p2s")
    if type(rounds) is not int or not 1 <= rounds <= MAX_ROUNDS:
        raise NotAJwe(f"its p2c is not a number from 1 to {MAX_ROUNDS}")
    if not isinstance(salt, str) or not salt.isascii():
        raise NotAJwe("its p2s is not base64url")
    if len(wrapped_key) != _CONTENT_KEY_BYTES + 8 or len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
        raise NotAJwe("a part of it has the wrong length")
    return _Parts(spelled[0], _decode(salt.encode()), rounds, wrapped_key, iv, ciphertext, tag)


def _salt(salt_input: bytes) -> bytes:
    """The salt of the derivation (RFC 7518, 4.8.1.1)."""
    return ALGORITHM.encode() + b"\0" + salt_input


def _standard(passphrase: bytes, salt: bytes, rounds: int) -> bytes:
    """PBKDF2-HMAC-SHA256 (RFC 8018, 5.2)."""
    return hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, _WRAPPING_KEY_BYTES)


def _go_1_15(passphrase: bytes, salt: bytes, rounds: int) -> bytes:
    """What the JOSE library of Notary's signer made of PBKDF2 under Go 1.15.

    It gave one hash object to both sides of HMAC. Go 1.15 began to keep the padded key in it, and the first inner
    hash of each derivation started from the outer pad; from the second round on all is as it should be.
    """
    key = hashlib.sha256(passphrase).digest() if len(passphrase) > _BLOCK_BYTES else passphrase
    outer_pad = bytes(byte ^ 0x5C for byte in key.ljust(_BLOCK_BYTES, b"\0"))
    inner = hashlib.sha256(outer_pad + salt + b"\0\0\0\1").digest()
    block = hashlib.sha256(outer_pad + inner).digest()
    derived = int.from_bytes(block, "big")
    keyed = hmac.new(passphrase, digestmod="sha256")
    for _ in range(rounds - 1):
        once = keyed.copy()
        once.update(block)
        block = once.digest()
        derived ^= int.from_bytes(block, "big")
    return derived.to_bytes(32, "big")[:_WRAPPING_KEY_BYTES]


_DERIVATIONS: Final[dict[Derivation, Callable[[bytes, bytes, int], bytes]]] = {
    "standard": _standard,
    "go-1.15": _go_1_15,
}


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotAJwe("a part of it is not base64url") from None
