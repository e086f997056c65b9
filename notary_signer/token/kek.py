"""Bring a key-encryption key (KEK) from one token to another (docs/operations/tokens.md, docs/adr/0017).

A KEK can leave its token only if it was made to (`token init --exportable-kek`), only before it has wrapped its first
key, and only encrypted: the signer works with no KEK that could still leave, and exporting ends with sealing.
Synchronous, and for a process of its own: no other thread may use PKCS#11 meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
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
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import PKCS11Error
from pkcs11.mechanisms import MGF

from notary_signer import encoding

from . import keks, objects, sharing
from .initialise import ready_token, require_no_kek
from .pin import wiped
from .problems import TokenProblem
from .settings import TokenSettings
from .sharing import KekShare, OaepHash, TransportKey, Witness, WrappedKek
from .wrapping import wrappings

TRANSPORT_LABEL: Final = "notary-transport"
_EXPONENT: Final = 65537
_HASHES: Final[dict[OaepHash, tuple[Mechanism, MGF]]] = {
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha1": (Mechanism.SHA_1, MGF.SHA1),
}


@dataclass(frozen=True, slots=True)
class Custodians:
    """How a KEK is split: any `threshold` of `number` shares make it."""

    number: int
    threshold: int


def make_transport_key(settings: TokenSettings, pin: bytearray | None, out: Path, *, existing: bool) -> str:
    """Make a key pair in the token that another token can encrypt its KEK for; write its public half to `out`.

    Args:
        settings: the token, which is initialised unless `existing`.
        pin: its user PIN; None where it exists.
        out: the file.
        existing: the token has been initialised.

    Returns:
        The fingerprint of the key, which the other machine shows too.

    Raises:
        TokenProblem: the token cannot decrypt keys, or the file exists.
    """
    sharing.require_new([out])
    with ready_token(settings, pin, existing=existing) as (_, session):
        for old in _transport_keys(session):
            old.destroy()
        public, private = _transport_pair(session, store=True)
        oaep = _usable(session, public, private)
        key = TransportKey(public[Attribute.MODULUS], _EXPONENT, oaep, settings.name)
        try:
            sharing.write_new(out, key)
        except TokenProblem:
            private.destroy()
            raise
        return key.fingerprint


def import_kek(
    settings: TokenSettings,
    pin: bytearray | None,
    source: WrappedKek | list[KekShare],
    *,
    existing: bool,
) -> str:
    """Bring a KEK into a token that has none of its label, and prove that it is the one that was exported.

    Args:
        settings: the token; with shares it is initialised unless `existing`.
        pin: its user PIN; None where it exists.
        source: the KEK encrypted for the token's transport key, or shares enough.
        existing: the token has been initialised.

    Returns:
        A sentence that tells what was made.

    Raises:
        TokenProblem: it does not work; the token has no KEK of that label then.
    """
    # Damaged shares are found before a token is made.
    plain = bytearray() if isinstance(source, WrappedKek) else sharing.combine(source)
    existing = existing or isinstance(source, WrappedKek)
    label = (source if isinstance(source, WrappedKek) else source[0]).label
    with wiped(plain), ready_token(settings, pin, existing=existing) as (module, session):
        require_no_kek(session, settings, label)
        if isinstance(source, WrappedKek):
            witness = source.witness
            transport_key = _transport_key(session, source.fingerprint)
            kek = _unwrapped(transport_key, source.wrapped, source.oaep, label)
        else:
            witness = source[0].witness
            kek = _brought_in(session, plain, label)
        try:
            _recognise(session, kek, witness, module.library.manufacturer_id)
        except (TokenProblem, PKCS11Error):
            kek.destroy()
            raise
        for transport in _transport_keys(session):
            transport.destroy()
        return f"token {settings.name}: its key-encryption key {label!r} is the one that was exported, proved by its witness"


@contextmanager
def exportable_kek(settings: TokenSettings) -> Iterator[Exporter]:
    """The token's newest KEK that was made to be exported; it is sealed when the block ends well.

    Raises:
        TokenProblem: there is no KEK, or it cannot leave the token.
    """
    with ready_token(settings, None, existing=True) as (_, session):
        labels = keks.labels(session)
        label, found, loose = "", list[SecretKey](), list[SecretKey]()
        for label in reversed(labels):
            found = objects.find_keks(session, label)
            loose = [kek for kek in found if kek[Attribute.EXTRACTABLE]]
            if loose:
                break
        if not loose:
            what = (
                "cannot leave it, as it must be once the signer works with it" if labels else "does not exist"
            )
            raise TokenProblem(
                f"the key-encryption key of the token {settings.name} {what}: only one that token init "
                "--exportable-kek made can be exported, once; custodians' shares bring up any later signer"
            )
        yield Exporter(session, loose[0], label)
        if len(found) == len(loose):
            # A copy, because the original stays modifiable for ever.
            sealed: Any = loose[0].copy({Attribute.EXTRACTABLE: False, Attribute.MODIFIABLE: False})
            problem = objects.kek_problem(sealed)
            if problem is not None:
                sealed.destroy()
                raise TokenProblem(f"the token does not seal the key-encryption key: {problem}")
        # If this was broken off before, the sealed copy is there, and only the original must go.
        for kek in loose:
            kek.destroy()


class Exporter:
    """Takes the KEK of a session out, encrypted."""

    def __init__(self, session: Session, kek: SecretKey, label: str) -> None:
        """Use `exportable_kek`."""
        self._session = session
        self._kek = kek
        self._label = label
        self._witness = _make_witness(session, kek)

    def for_token(self, key: TransportKey) -> WrappedKek:
        """The KEK encrypted for another token.

        Raises:
            TokenProblem: the two tokens have no way to encrypt in common.
        """
        for oaep in key.oaep:
            wrapped = self._wrapped(key.modulus, key.exponent, oaep)
            if wrapped is not None:
                return WrappedKek(self._label, key.fingerprint, oaep, wrapped, self._witness)
        raise TokenProblem(
            f"this token cannot encrypt for the transport key of the token {key.token}: use custodians' shares"
        )

    def for_custodians(self, custodians: Custodians) -> list[KekShare]:
        """The KEK in shares. For that moment it is in this process's memory.

        Raises:
            TokenProblem: the token cannot encrypt it for this process.
        """
        private = rsa.generate_private_key(_EXPONENT, sharing.TRANSPORT_BITS)
        numbers = private.public_key().public_numbers()
        modulus = numbers.n.to_bytes(sharing.TRANSPORT_BITS // 8, "big")
        for oaep in _HASHES:
            wrapped = self._wrapped(modulus, _EXPONENT, oaep)
            if wrapped is not None:
                with wiped(sharing.decrypt(wrapped, private, oaep)) as kek:
                    return sharing.split(
                        self._label, kek, custodians.number, custodians.threshold, self._witness
                    )
        raise TokenProblem(
            "this token cannot encrypt its key-encryption key by RSA-OAEP, so it cannot be exported"
        )

    def _wrapped(self, modulus: bytes, exponent: int, oaep: OaepHash) -> bytes | None:
        public: Any = self._session.create_object(
            {
                Attribute.CLASS: ObjectClass.PUBLIC_KEY,
                Attribute.KEY_TYPE: KeyType.RSA,
                Attribute.MODULUS: modulus,
                Attribute.PUBLIC_EXPONENT: exponent.to_bytes(3, "big"),
                Attribute.WRAP: True,
                Attribute.TOKEN: False,
            }
        )
        try:
            return bytes(
                public.wrap_key(
                    self._kek, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=_parameters(oaep)
                )
            )
        except objects.GONE:
            raise
        except PKCS11Error:
            return None
        finally:
            public.destroy()


def _parameters(oaep: OaepHash) -> tuple[Mechanism, MGF, None]:
    return (*_HASHES[oaep], None)


def _transport_pair(session: Session, *, store: bool) -> tuple[PublicKey, PrivateKey]:
    unwraps_only = {
        Attribute.UNWRAP: True,
        Attribute.DECRYPT: False,
        Attribute.SIGN: False,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        # Flags that private keys do not have, see objects.
        Attribute.ENCRYPT: DEFAULT,
        Attribute.WRAP: DEFAULT,
        Attribute.VERIFY: DEFAULT,
    }
    return session.generate_keypair(
        KeyType.RSA,
        sharing.TRANSPORT_BITS,
        store=store,
        label=TRANSPORT_LABEL,
        capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
        public_template={Attribute.TOKEN: False, Attribute.VERIFY: DEFAULT},
        private_template=unwraps_only,
    )


def _transport_keys(session: Session) -> list[PrivateKey]:
    wanted = {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.LABEL: TRANSPORT_LABEL,
        Attribute.TOKEN: True,
    }
    return [key for key in session.get_objects(wanted) if isinstance(key, PrivateKey)]


def _transport_key(session: Session, fingerprint: str) -> PrivateKey:
    for key in _transport_keys(session):
        if TransportKey(key[Attribute.MODULUS], _EXPONENT, [], "").fingerprint == fingerprint:
            return key
    raise TokenProblem(
        f"the key-encryption key was exported for the transport key {fingerprint}, which this token does not hold: "
        "run token transport-key here, and export for what it writes"
    )


def _usable(session: Session, public: PublicKey, private: PrivateKey) -> list[OaepHash]:
    """The hashes with which the token really unwraps a key."""
    usable: list[OaepHash] = []
    for oaep in _HASHES:
        wrapped = sharing.encrypt(bytearray(sharing.KEK_BYTES), public[Attribute.MODULUS], _EXPONENT, oaep)
        try:
            _unwrap_aes(private, wrapped, oaep, label=None).destroy()
        except objects.GONE:
            raise
        except PKCS11Error:
            continue
        usable.append(oaep)
    if not usable:
        private.destroy()
        raise TokenProblem("this token unwraps no AES key by RSA-OAEP: its KEK cannot come from outside")
    return usable


def _unwrap_aes(private: PrivateKey, wrapped: bytes, oaep: OaepHash, *, label: str | None) -> SecretKey:
    """As the KEK `label`; None: as a key of the session."""
    template = objects.kek_template()
    key = private.unwrap_key(  # type: ignore[attr-defined]
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        wrapped,
        mechanism=Mechanism.RSA_PKCS_OAEP,
        mechanism_param=_parameters(oaep),
        **{**template, "store": label is not None},
        label=label,
        id=None if label is None else label.encode("ascii"),
    )
    assert isinstance(key, SecretKey)  # noqa: S101 - the object class was asked for
    return key


def _unwrapped(private: PrivateKey, wrapped: bytes, oaep: OaepHash, label: str) -> SecretKey:
    try:
        return _unwrap_aes(private, wrapped, oaep, label=label)
    except PKCS11Error as error:
        raise TokenProblem(
            f"the token does not unwrap the key-encryption key ({type(error).__name__})"
        ) from None


def _brought_in(session: Session, plain: bytearray, label: str) -> SecretKey:
    """The KEK as an object of the token, to which it goes under a passing transport key."""
    public, private = _transport_pair(session, store=False)
    try:
        oaep = _usable(session, public, private)[0]
        wrapped = sharing.encrypt(plain, public[Attribute.MODULUS], _EXPONENT, oaep)
        return _unwrapped(private, wrapped, oaep, label)
    finally:
        with suppress(PKCS11Error):
            private.destroy()


def _make_witness(session: Session, kek: SecretKey) -> Witness:
    usable = wrappings(session, kek)
    if not usable:
        raise TokenProblem(
            "this token's key-encryption key wraps nothing, so there is no use in exporting it"
        )
    keywrap, mechanism = next(iter(usable.items()))
    public, private = objects.generate_pair(session, "ecdsa", extractable=True)
    try:
        return Witness(objects.public_bytes("ecdsa", public), objects.wrap(kek, private, mechanism), keywrap)
    finally:
        public.destroy()
        private.destroy()


def _recognise(session: Session, kek: SecretKey, witness: Witness, manufacturer: str) -> None:
    """Return if `kek` is the one that the witness was wrapped under, and fit to be used.

    Raises:
        TokenProblem: it is not.
    """
    problem = objects.kek_problem(kek)
    if problem is not None:
        raise TokenProblem(f"the imported key-encryption key is unfit: {problem}; it was removed again")
    mechanism = wrappings(session, kek).get(witness.keywrap)
    if mechanism is None:
        raise TokenProblem(
            f"the other token wraps keys as {witness.keywrap}, which this one cannot unwrap: they cannot share "
            "a registry; the key-encryption key was removed again"
        )
    try:
        extras = objects.unwrap_extras(manufacturer, "ecdsa")
        private = objects.unwrap(kek, "ecdsa", witness.blob, mechanism, extras)
        signature = objects.sign(private, "ecdsa", objects.PROBE_MESSAGE)
        private.destroy()
    except PKCS11Error:
        signature = b""
    if not encoding.verifies("ecdsa", witness.public, signature, objects.PROBE_MESSAGE):
        raise TokenProblem(
            "what was imported is not the key-encryption key that was exported; it was removed again"
        )
