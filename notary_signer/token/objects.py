"""PKCS#11 calls on one session: make, wrap, unwrap and use keys. Only the thread that owns the module calls these.

Mechanisms and attributes are those of PKCS#11 2.40 and 3.0; the notes on SoftHSM were measured with 2.6.1, those on
NSS's softokn with 3.87.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from pkcs11 import (
    Attribute,
    KeyType,
    Mechanism,
    MechanismFlag,
    ObjectClass,
    PrivateKey,
    PublicKey,
    SecretKey,
    Session,
)
from pkcs11 import exceptions as errors
from pkcs11.attributes import AttributeMapper
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import PKCS11Error
from pkcs11.mechanisms import MGF

from notary_common.wire import Algorithm
from notary_signer import encoding

RSA_BITS: Final = 2048
"""The least that Notary's clients accept; more would slow every signature down."""
PROBE_MESSAGE: Final = b"notary-signer: proof that this key works"
"""Signed with new keys and at health checks; no metadata looks like this."""

KEY_TYPES: Final[dict[Algorithm, KeyType]] = {
    "ecdsa": KeyType.EC,
    "rsa": KeyType.RSA,
    "ed25519": KeyType.EC_EDWARDS,
}
CURVES: Final[dict[Algorithm, bytes]] = {
    "ecdsa": bytes.fromhex("06082a8648ce3d030107"),  # OBJECT IDENTIFIER prime256v1 (RFC 5480)
    "ed25519": b"\x13\x0cedwards25519",  # PrintableString, the spelling that SoftHSM 2.6 takes
}
_SIGN_AND_VERIFY: Final = MechanismFlag.SIGN | MechanismFlag.VERIFY
GONE: Final = (
    errors.DeviceError,
    errors.DeviceRemoved,
    errors.SessionClosed,
    errors.SessionHandleInvalid,
    errors.TokenNotPresent,
    errors.UserNotLoggedIn,
)
"""Errors that speak of the token's state, and say nothing about what it can do."""

_NSS: Final = "Mozilla Foundation"
_NSS_DB: Final = 0xD5A0DB00
"""CKA_NSS_DB: the public half that NSS would file a private key under; it unwraps no EC key without one."""
_SIGN_ONLY: Final[dict[Attribute, Any]] = {
    # python-pkcs11 fills in flags that private keys do not have; SoftHSM refuses the whole template then.
    Attribute.ENCRYPT: DEFAULT,
    Attribute.WRAP: DEFAULT,
    Attribute.VERIFY: DEFAULT,
    # Those that they have are said aloud, because SoftHSM's default is to allow all.
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
    Attribute.SIGN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
}
_KEK_ATTRIBUTES: Final[dict[Attribute, bool]] = {
    # A KEK that could decrypt or leave the token would give every wrapped key away.
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: False,
    Attribute.DECRYPT: False,
    Attribute.WRAP: True,
    Attribute.UNWRAP: True,
}


def attribute_mapper() -> AttributeMapper:
    """What a session needs to speak of `CKA_NSS_DB` too."""
    mapper = AttributeMapper()
    mapper.register_handler(_NSS_DB, bytes, bytes)  # type: ignore[arg-type]
    return mapper


def unwrap_extras(manufacturer: str, algorithm: Algorithm, public: bytes = b"\0") -> dict[Any, Any]:
    """What the modules of `manufacturer` want in the template of a key that is unwrapped, besides what all want.

    Args:
        public: the public key, where the key is stored; one of the session is filed nowhere, so any value does.
    """
    return {_NSS_DB: public} if manufacturer == _NSS and algorithm == "ecdsa" else {}


def kek_template(*, exportable: bool = False) -> dict[str, Any]:
    """How a KEK is made or brought in: a token object that wraps and unwraps, and can do nothing else."""
    return {
        "store": True,
        "capabilities": MechanismFlag.WRAP | MechanismFlag.UNWRAP,
        "template": {
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: exportable,
            # One that is to be exported is sealed afterwards, by a copy.
            Attribute.MODIFIABLE: exportable,
        },
    }


def create_kek(session: Session, label: str, *, exportable: bool = False) -> SecretKey:
    """Make an AES-256 key-encryption key in the token."""
    return session.generate_key(
        KeyType.AES, 256, label=label, id=label.encode("ascii"), **kek_template(exportable=exportable)
    )


def find_keks(session: Session, label: str) -> list[SecretKey]:
    """All AES keys of the token that bear `label`."""
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label, Attribute.TOKEN: True}
    return [key for key in session.get_objects(wanted) if isinstance(key, SecretKey)]


def kek_problem(kek: SecretKey) -> str | None:
    """Which attribute makes `kek` unfit to guard keys, or None if it is fit."""
    for attribute, wanted in _KEK_ATTRIBUTES.items():
        if bool(kek[attribute]) is not wanted:
            return f"CKA_{attribute.name} is not {str(wanted).lower()}"
    return None


def generate_pair(
    session: Session,
    algorithm: Algorithm,
    *,
    extractable: bool,
    store: bool = False,
    label: str | None = None,
) -> tuple[PublicKey, PrivateKey]:
    """Make a key pair; the public half is always a session object. The caller destroys what it need not keep."""
    templates: dict[str, Any] = {
        "capabilities": _SIGN_AND_VERIFY,
        "label": label,
        "store": store,
        "public_template": {Attribute.TOKEN: False},
        "private_template": {
            **_SIGN_ONLY,
            Attribute.EXTRACTABLE: extractable,
        },
    }
    if algorithm == "rsa":
        return session.generate_keypair(KeyType.RSA, RSA_BITS, **templates)
    curve = session.create_domain_parameters(
        KEY_TYPES[algorithm], {Attribute.EC_PARAMS: CURVES[algorithm]}, local=True
    )
    return curve.generate_keypair(**templates)


def public_bytes(algorithm: Algorithm, public: PublicKey) -> bytes:
    """The public key as Notary carries it.

    Raises:
        ValueError: the token's public key makes no sense.
    """
    if algorithm == "rsa":
        return encoding.rsa_public(public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT])
    if algorithm == "ecdsa":
        return encoding.ecdsa_public(public[Attribute.EC_POINT])
    return encoding.ed25519_public(public[Attribute.EC_POINT])


def wrap(kek: SecretKey, private: PrivateKey, mechanism: Mechanism) -> bytes:
    """The private key encrypted under the KEK."""
    return bytes(kek.wrap_key(private, mechanism=mechanism))  # type: ignore[attr-defined]


def seal_in(private: PrivateKey) -> bool:
    """Whether this key, which could be wrapped until now, can never leave the token again from now on."""
    try:
        private[Attribute.EXTRACTABLE] = False
        return not private[Attribute.EXTRACTABLE]
    except PKCS11Error:
        return False


def unwrap(
    kek: SecretKey,
    algorithm: Algorithm,
    blob: bytes,
    mechanism: Mechanism,
    extras: dict[Any, Any],
    *,
    extractable: bool = False,
) -> PrivateKey:
    """The private key as a session object that can sign and, unless it is to be wrapped, never leaves again.

    Args:
        kek: the key that wrapped it.
        algorithm: what it is a key of.
        blob: the wrapped key.
        mechanism: what wrapped it.
        extras: see `unwrap_extras`.
        extractable: whether it is to be wrapped anew, or to leave the token.
    """
    template = {**_SIGN_ONLY, Attribute.EXTRACTABLE: extractable, **extras}
    return unwrap_as(kek, algorithm, blob, mechanism, template)


def unwrap_as(
    wrapper: SecretKey, algorithm: Algorithm, blob: bytes, mechanism: Mechanism, template: dict[Any, Any]
) -> PrivateKey:
    """The private key that `wrapper` wrapped, as whatever object `template` says."""
    key = wrapper.unwrap_key(  # type: ignore[attr-defined]
        ObjectClass.PRIVATE_KEY, KEY_TYPES[algorithm], blob, mechanism=mechanism, template=template
    )
    assert isinstance(key, PrivateKey)  # noqa: S101 - the object class was asked for
    return key


def signing_template() -> dict[Any, Any]:
    """What every private key of ours is: it signs, and nothing else."""
    return dict(_SIGN_ONLY)


def spoken(template: dict[Any, Any]) -> dict[Any, Any]:
    """What of a template must be said where python-pkcs11 fills nothing in."""
    return {name: value for name, value in template.items() if value is not DEFAULT}


def find_resident(session: Session, key_id: str) -> list[PrivateKey]:
    """All private keys of the token whose CKA_ID is the key ID."""
    wanted = {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.ID: bytes.fromhex(key_id),
        Attribute.TOKEN: True,
    }
    return [key for key in session.get_objects(wanted) if isinstance(key, PrivateKey)]


def name_resident(private: PrivateKey, key_id: str) -> None:
    """Make a stored key findable by its key ID."""
    private[Attribute.ID] = bytes.fromhex(key_id)


def sign(private: PrivateKey, algorithm: Algorithm, message: bytes) -> bytes:
    """The signature over `message`, encoded as in metadata: raw r and s, PSS or EdDSA."""
    if algorithm == "ecdsa":
        return bytes(private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))  # type: ignore[attr-defined]
    if algorithm == "rsa":
        parameters = (Mechanism.SHA256, MGF.SHA256, encoding.PSS_SALT_BYTES)
        return bytes(
            private.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters)  # type: ignore[attr-defined]
        )
    return bytes(private.sign(message, mechanism=Mechanism.EDDSA))  # type: ignore[attr-defined]
