"""Private keys into the token and out of it: what a takeover from Notary's own signer needs, and the way back.

A key crosses the module encrypted under a passing AES key, which this process makes up and the token is told; it lives
as long as the session, and is made when the first key is to be moved. Where the token does not unwrap keys of a kind,
they are made objects from their numbers instead.
"""

from __future__ import annotations

import os
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pkcs11 import Attribute, KeyType, ObjectClass, PrivateKey, SecretKey, Session
from pkcs11.exceptions import PKCS11Error

from notary_common.wire import Algorithm
from notary_signer.errors import TokenFault
from notary_signer.ports import AES_KWP

from . import objects
from .wrapping import KW, wrappings

_AES_BYTES: Final = 32
_BLOCK_BITS: Final = 64
"""Of AES key wrap, to which PKCS#7 pads."""
_EC_BYTES: Final = 32
_EC_PUBLIC_KEY: Final = bytes.fromhex("06072a8648ce3d0201")
"""OBJECT IDENTIFIER id-ecPublicKey (RFC 5480)."""
_LONG: Final = 0x80
"""A first byte of a length above it says how many bytes of length follow (X.690, 8.1.3.5)."""


class Ferry:
    """Brings keys over the border of one session."""

    def __init__(self, session: Session) -> None:
        """
        Raises:
            TokenFault: the token takes no keys from outside.
        """
        self._session = session
        try:
            self._key, self._plain = _passing_key(session)
            self._wrappings = wrappings(session, self._key)
        except objects.GONE:
            raise
        except PKCS11Error as error:
            raise TokenFault(f"the token takes no keys from outside ({type(error).__name__})") from None

    def bring_in(self, algorithm: Algorithm, pkcs8: bytes, attributes: dict[Any, Any]) -> PrivateKey:
        """The key as an object of the token that can sign.

        Args:
            pkcs8: the private key (DER).
            attributes: what is special about the object: whether it is stored, extractable, its label and ID.

        Raises:
            TokenFault: the token takes no such keys from outside.
        """
        template = objects.signing_template() | attributes
        for keywrap, mechanism in self._wrappings.items():
            wrapped = _wrap(keywrap, self._plain, pkcs8)
            if wrapped is None:
                continue
            try:
                return objects.unwrap_as(self._key, algorithm, wrapped, mechanism, template)
            except objects.GONE:
                raise
            except PKCS11Error:
                break
        return _created(self._session, algorithm, pkcs8, template)

    def take_out(self, private: PrivateKey) -> bytes:
        """The key as PKCS#8 (DER).

        Args:
            private: an extractable object.

        Raises:
            TokenFault: the token does not let it out.
        """
        for keywrap, mechanism in self._wrappings.items():
            try:
                return _tidied(_unwrap(keywrap, self._plain, objects.wrap(self._key, private, mechanism)))
            except objects.GONE:
                raise
            except (PKCS11Error, InvalidUnwrap, ValueError) as error:
                raise TokenFault(f"the token does not let the key out ({type(error).__name__})") from None
        raise TokenFault("the token does not let the key out: it wraps no keys")


def _passing_key(session: Session) -> tuple[SecretKey, bytes]:
    plain = os.urandom(_AES_BYTES)
    key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: plain,
            Attribute.TOKEN: False,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.ENCRYPT: False,
            Attribute.DECRYPT: False,
            Attribute.WRAP: True,
            Attribute.UNWRAP: True,
        }
    )
    assert isinstance(key, SecretKey)  # noqa: S101 - the object class was asked for
    return key, plain


def _wrap(keywrap: str, plain: bytes, data: bytes) -> bytes | None:
    if keywrap == AES_KWP:
        return aes_key_wrap_with_padding(plain, data)
    if keywrap == KW:
        return aes_key_wrap(plain, data) if len(data) * 8 % _BLOCK_BITS == 0 else None
    padder = PKCS7(_BLOCK_BITS).padder()
    return aes_key_wrap(plain, padder.update(data) + padder.finalize())


def _unwrap(keywrap: str, plain: bytes, wrapped: bytes) -> bytes:
    if keywrap == AES_KWP:
        return aes_key_unwrap_with_padding(plain, wrapped)
    data = aes_key_unwrap(plain, wrapped)
    if keywrap == KW:
        return data
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    return unpadder.update(data) + unpadder.finalize()


def _tidied(data: bytes) -> bytes:
    """PKCS#8 as others read it, from what tokens make of it.

    SoftHSM 2.6 pads it with zeros to whole blocks; NSS 3.87 writes the public point of an EC key as one of no bits.

    Raises:
        ValueError: it is no PKCS#8.
    """
    _, fields, length = _der(data)
    _, _, version = _der(fields)
    _, algorithm, end = _der(fields[version:])
    _, inner, _ = _der(fields[version + end :])
    if not algorithm.startswith(_EC_PUBLIC_KEY):
        return data[:length]
    _, members, _ = _der(inner)
    _, _, one = _der(members)
    _, value, _ = _der(members[one:])
    private = ec.derive_private_key(int.from_bytes(value, "big"), ec.SECP256R1())
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _der(data: bytes) -> tuple[int, bytes, int]:
    """The first element of DER: its tag, its contents, and where it ends.

    Raises:
        ValueError: there is none.
    """
    if len(data) < 2:
        raise ValueError("DER ends early")
    size, begin = data[1], 2
    if size > _LONG:
        begin += size - _LONG
        size = int.from_bytes(data[2:begin], "big")
    if begin + size > len(data):
        raise ValueError("DER ends early")
    return data[0], data[begin : begin + size], begin + size


def _created(session: Session, algorithm: Algorithm, pkcs8: bytes, template: dict[Any, Any]) -> PrivateKey:
    values = {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.KEY_TYPE: objects.KEY_TYPES[algorithm],
        **_numbers(algorithm, pkcs8),
        **objects.spoken(template),
    }
    try:
        private = session.create_object(values)
    except objects.GONE:
        raise
    except PKCS11Error as error:
        raise TokenFault(
            f"the token takes no {algorithm} keys from outside ({type(error).__name__})"
        ) from None
    assert isinstance(private, PrivateKey)  # noqa: S101 - the object class was asked for
    return private


def _numbers(algorithm: Algorithm, pkcs8: bytes) -> dict[Attribute, bytes]:
    private = load_der_private_key(pkcs8, password=None)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return {
            Attribute.EC_PARAMS: objects.CURVES[algorithm],
            Attribute.VALUE: private.private_bytes_raw(),
        }
    if isinstance(private, ec.EllipticCurvePrivateKey):
        value = private.private_numbers().private_value.to_bytes(_EC_BYTES, "big")
        return {Attribute.EC_PARAMS: objects.CURVES[algorithm], Attribute.VALUE: value}
    assert isinstance(private, rsa.RSAPrivateKey)  # noqa: S101 - it was checked before it came here
    numbers = private.private_numbers()
    public = numbers.public_numbers
    parts = {
        Attribute.MODULUS: public.n,
        Attribute.PUBLIC_EXPONENT: public.e,
        Attribute.PRIVATE_EXPONENT: numbers.d,
        Attribute.PRIME_1: numbers.p,
        Attribute.PRIME_2: numbers.q,
        Attribute.EXPONENT_1: numbers.dmp1,
        Attribute.EXPONENT_2: numbers.dmq1,
        Attribute.COEFFICIENT: numbers.iqmp,
    }
    return {name: value.to_bytes((value.bit_length() + 7) // 8, "big") for name, value in parts.items()}
