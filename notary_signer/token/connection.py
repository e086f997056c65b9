"""One logged-in session of the token with its unwrapped keys. Used by the owning thread alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pkcs11
from pkcs11 import Mechanism, PrivateKey, Session, exceptions

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault
from notary_signer.ports import KeyRecord, NewKey, PrivatePart

from . import objects
from .border import Border, prove
from .choice import choose
from .login import log_in
from .module import Module, find_module
from .problems import PinRefused, TokenProblem
from .settings import Proof, TokenSettings
from .wrapper import Wrapper
from .wrapping import KW

WRAPPING_MECHANISMS: Final = (
    Mechanism.AES_KEY_WRAP_KWP,
    Mechanism.AES_KEY_WRAP_PAD,
    Mechanism.AES_KEY_WRAP_PKCS7,
    Mechanism.AES_KEY_WRAP,
)
"""A token that has one of these has, or should have, a KEK."""

_NOT_MADE: Final = (
    exceptions.MechanismInvalid,
    exceptions.FunctionNotSupported,
    exceptions.DomainParamsInvalid,
    exceptions.AttributeValueInvalid,
)


@dataclass(frozen=True, slots=True)
class _Probe:
    """A key that health checks sign with: wrapped, or where nothing wraps, an object of the session."""

    algorithm: Algorithm
    public: bytes
    wrapped: PrivatePart | None
    handle: PrivateKey | None


class Connection:
    """The module initialised, the token logged in, the KEK found and fit.

    Every method but `open` may raise `pkcs11.PKCS11Error`, which its only caller translates.
    """

    def __init__(self, module: Module, session: Session, settings: TokenSettings) -> None:
        """Use `open`."""
        self._module = module
        self._session = session
        self._settings = settings
        self._owner = threading.get_ident()
        self._wrapper = Wrapper(session, module.library.manufacturer_id, settings.name)
        self._handles: OrderedDict[str, PrivateKey] = OrderedDict()
        self._probe: _Probe | None = None
        self._border = Border(session, self._wrapper, module.library.manufacturer_id)
        self.proven: dict[Algorithm, Proof] = {}

    @classmethod
    def open(cls, settings: TokenSettings, *, final_try: bool = False) -> Connection:
        """Initialise the module anew, log in and find the KEK, where one is needed.

        Raises:
            PinRefused: the token refused the PIN, or it must not be tried.
            TokenProblem: the token cannot be used; the module is left finalised.
        """
        module = Module(find_module(settings.module_path), settings.arguments)
        try:
            token = choose(module, settings)
            session = log_in(module.native, token, settings, final_try=final_try)
            connection = cls(module, session, settings)
            if connection.wants_kek():
                connection._wrapper.begin()
            return connection
        except exceptions.PKCS11Error as error:
            module.close()
            words = f"the token {settings.name} cannot be opened ({type(error).__name__})"
            raise TokenProblem(words) from None
        except TokenFault as error:
            module.close()
            raise TokenProblem(error.message) from None
        except PinRefused:
            module.close()
            raise
        except TokenProblem:
            module.close()
            raise

    def wants_kek(self) -> bool:
        """Whether new keys are to be wrapped, as far as the token can wrap at all."""
        if self._settings.mode == "resident":
            return False
        listed = self._session.token.slot.get_mechanisms()
        return self._settings.mode == "wrapped" or any(known in listed for known in WRAPPING_MECHANISMS)

    def close(self) -> None:
        """Give everything back; what the token refuses to take is gone with C_Finalize anyway."""
        self._check_thread()
        self._handles.clear()
        self._wrapper.clear()
        self._probe = None
        self._border.clear()
        with suppress(exceptions.PKCS11Error):
            self._session.close()
        self._module.close()

    def _check_thread(self) -> None:
        # The module is initialised without locking: a second thread would crash the process.
        if threading.get_ident() != self._owner:
            raise RuntimeError("the PKCS#11 module was touched by a thread that does not own it")

    @property
    def handles(self) -> int:
        """Keys that are ready in the session."""
        return len(self._handles)

    def self_test(self, algorithm: Algorithm) -> Proof | None:
        """Sign and verify with a passing key; how keys of `algorithm` can be kept, None if not at all.

        Raises:
            TokenFault: the token made a signature that does not verify.
        """
        self._check_thread()
        try:
            public, private = objects.generate_pair(self._session, algorithm, extractable=True)
        except _NOT_MADE:
            return None
        public_key = objects.public_bytes(algorithm, public)
        public.destroy()
        prove(algorithm, private, public_key)
        proof = self._wrapped_proof(algorithm, private, public_key)
        if proof is None and self._settings.mode != "wrapped":
            proof = Proof("resident")
        if self._probe is None and proof is not None and proof.keeping == "resident":
            self._probe = _Probe(algorithm, public_key, None, private)
        else:
            private.destroy()
        if proof is not None:
            self.proven[algorithm] = proof
        return proof

    def _wrapped_proof(self, algorithm: Algorithm, private: PrivateKey, public: bytes) -> Proof | None:
        """How a key of `algorithm` goes out of the token and in again, None if it does not."""
        if not self.wants_kek():
            return None
        for keywrap in self._wrapper.mechanisms():
            if keywrap == KW and algorithm != "ecdsa":
                continue  # the length of other keys varies, and some would not fit
            try:
                part = self._wrapper.wrap(private, keywrap, self._wrapper.newest())
                survivor = self._wrapper.unwrap(algorithm, part)
            except objects.GONE:
                raise
            except exceptions.PKCS11Error:
                continue
            prove(algorithm, survivor, public)
            survivor.destroy()
            if self._probe is None:
                self._probe = _Probe(algorithm, public, part, None)
            return Proof("wrapped", keywrap)
        # Some tokens answer with a general error: it is the key that is not wrapped, if the token still signs.
        prove(algorithm, private, public)
        return None

    def probe(self) -> None:
        """Return if a key wrapped earlier can be unwrapped and signs, or where nothing wraps, a key of the session."""
        self._check_thread()
        wrapped = self._probe.wrapped if self._probe is not None else None
        if wrapped is not None and wrapped.kek_label != self._wrapper.newest():
            self._probe = None
        if self._probe is None:
            for algorithm in list(self.proven) or ["ecdsa"]:
                self.self_test(algorithm)
                if self._probe is not None:
                    break
        probe = self._probe
        if probe is None:
            raise TokenFault("the token makes no keys any more, so its health cannot be proved")
        if probe.handle is not None:
            prove(probe.algorithm, probe.handle, probe.public)
            return
        assert probe.wrapped is not None  # noqa: S101 - one of the two is set
        private = self._wrapper.unwrap(probe.algorithm, probe.wrapped)
        try:
            prove(probe.algorithm, private, probe.public)
        finally:
            private.destroy()

    def generate(self, algorithm: Algorithm, label: str, kek_label: str | None = None) -> NewKey:
        """Make a key, keep it the way the self-test found, and prove that it signs. Its handle stays loaded.

        `kek_label`: what wraps it; None: the newest.

        That what was wrapped can be unwrapped is proved for the token, at start and by every probe, not for each
        key: it would take as long as all the rest.

        Raises:
            TokenFault: the token has no such algorithm, or the new key does not work.
        """
        self._check_thread()
        proof = self.proven.get(algorithm) or self.self_test(algorithm)
        if proof is None:
            raise TokenFault(
                f"the token makes no {algorithm} keys, or none that it can keep as pkcs11.keys says"
            )
        wrapped = proof.keeping == "wrapped"
        public, private = objects.generate_pair(
            self._session, algorithm, extractable=wrapped, store=not wrapped, label=label
        )
        try:
            key = self._kept(algorithm, objects.public_bytes(algorithm, public), private, proof, kek_label)
            if wrapped and not objects.seal_in(private):
                original, private = private, self._wrapper.unwrap(algorithm, key.private)
                original.destroy()
            prove(algorithm, private, key.public)
        except BaseException:
            with suppress(exceptions.PKCS11Error):
                private.destroy()
            raise
        finally:
            with suppress(exceptions.PKCS11Error):
                public.destroy()
        self._keep(key.key_id, private)
        return key

    def _kept(
        self, algorithm: Algorithm, public: bytes, private: PrivateKey, proof: Proof, kek_label: str | None
    ) -> NewKey:
        key_id = encoding.key_id(algorithm, public)
        if proof.keeping == "wrapped":
            part = self._wrapper.wrap(private, proof.keywrap, kek_label or self._wrapper.newest())
        else:
            objects.name_resident(private, key_id)
            part = PrivatePart("resident", "", b"")
        return NewKey(key_id, algorithm, public, part)

    def import_key(self, algorithm: Algorithm, pkcs8: bytes, public: bytes, label: str) -> NewKey:
        """Take a key in that was made elsewhere, keep it as new keys are kept, and prove that it signs.

        A resident key that is here already, because an earlier import broke off, is used as it is.

        Raises:
            TokenFault: the token takes no such keys in, or the key does not work in it.
        """
        self._check_thread()
        proof = self.proven.get(algorithm) or self.self_test(algorithm)
        if proof is None:
            raise TokenFault(f"the token uses no {algorithm} keys, or keeps none as pkcs11.keys says")
        if proof.keeping == "wrapped":
            return self._border.wrapped(algorithm, pkcs8, public, proof)
        return self._border.resident(algorithm, pkcs8, public, label)

    def export_key(self, algorithm: Algorithm, private: PrivatePart) -> bytes:
        """A wrapped key as PKCS#8 (DER).

        Raises:
            TokenFault: it is resident, or the token does not let it out.
        """
        self._check_thread()
        return self._border.take_out(algorithm, private)

    def sign(self, key_id: str, algorithm: Algorithm, private: PrivatePart, message: bytes) -> bytes:
        """The signature over `message` by a key made earlier.

        Raises:
            TokenFault: the token does not hold the key, or not its KEK.
        """
        self._check_thread()
        return objects.sign(self._handle(key_id, algorithm, private), algorithm, message)

    def _handle(self, key_id: str, algorithm: Algorithm, private: PrivatePart) -> PrivateKey:
        handle = self._handles.get(key_id)
        if handle is not None:
            self._handles.move_to_end(key_id)
            return handle
        if private.keeping == "wrapped":
            handle = self._wrapper.unwrap(algorithm, private)
        else:
            self._speak()
            found = objects.find_resident(self._session, key_id)
            if len(found) != 1:
                raise TokenFault(
                    "the token does not hold this key" if not found else "the token holds this key twice"
                )
            handle = found[0]
        self._keep(key_id, handle)
        return handle

    def _speak(self) -> None:
        # On a dead session this fails quietly; a search would fail too, but with noise on standard error.
        if not self._wrapper.speak() and self._probe is not None and self._probe.handle is not None:
            _ = self._probe.handle[pkcs11.Attribute.KEY_TYPE]

    def _keep(self, key_id: str, handle: PrivateKey) -> None:
        self._handles[key_id] = handle
        self._shrink_to(self._settings.max_handles)

    def _shrink_to(self, count: int) -> None:
        while len(self._handles) > count:
            _, evicted = self._handles.popitem(last=False)
            # A resident key is the only copy: its handle is let go, the object stays.
            if not evicted[pkcs11.Attribute.TOKEN]:
                evicted.destroy()

    def make_room(self) -> None:
        """Let half of the unwrapped keys go: the token says that it is full."""
        self._check_thread()
        self._shrink_to(len(self._handles) // 2)

    def discard(self, key: NewKey) -> None:
        """Forget a key; destroy it if the token is where it lives."""
        self._check_thread()
        handle = self._handles.pop(key.key_id, None)
        if handle is None and key.private.keeping == "resident":
            handle = next(iter(objects.find_resident(self._session, key.key_id)), None)
        if handle is not None:
            handle.destroy()

    def destroy(self, key: KeyRecord) -> None:
        """Destroy a resident key."""
        self.discard(NewKey(key.key_id, key.algorithm, key.public, key.private))

    def keks(self) -> list[str]:
        """The labels of the token's KEKs that may guard keys, the newest last."""
        self._check_thread()
        return self._wrapper.labels()

    def keywraps(self) -> dict[Algorithm, str]:
        """How keys of each algorithm that leave the token are wrapped."""
        return {
            algorithm: proof.keywrap for algorithm, proof in self.proven.items() if proof.keeping == "wrapped"
        }

    def make_kek(self, label: str) -> None:
        """Make a KEK.

        Raises:
            TokenFault: it is there already, or the token made an unfit one.
        """
        self._check_thread()
        self._wrapper.make(label)

    def destroy_kek(self, label: str) -> None:
        """Destroy a KEK."""
        self._check_thread()
        self._wrapper.destroy(label)

    def rewrap(self, key: KeyRecord, label: str) -> PrivatePart:
        """Wrap a key under another KEK, unwrap that again and have it sign.

        Raises:
            TokenFault: the token holds one of the KEKs not, or the key is not that of its public half.
        """
        self._check_thread()
        proof = self.proven.get(key.algorithm)
        if proof is None or proof.keeping != "wrapped":
            raise TokenFault(f"the token wraps no {key.algorithm} keys")
        passing = self._wrapper.unwrap(key.algorithm, key.private, extractable=True)
        try:
            part = self._wrapper.wrap(passing, proof.keywrap, label)
        finally:
            passing.destroy()
        unwrapped = self._wrapper.unwrap(key.algorithm, part)
        try:
            prove(key.algorithm, unwrapped, key.public)
        finally:
            unwrapped.destroy()
        return part
