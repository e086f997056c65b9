"""One logged-in session of the token with its KEKs and unwrapped keys. Used by the owning thread alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pkcs11
from pkcs11 import PrivateKey, SecretKey, Session, exceptions

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault
from notary_signer.ports import AES_KWP, Keeping, KeyRecord, NewKey, PrivatePart

from . import keks, objects
from .problems import PinRefused, TokenProblem

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module

KEK_LABEL: Final = keks.label_of(1)
"""Label of the key that `token init` makes. Each registry row names the label that its key was wrapped under."""
MAX_HANDLES: Final = 1024
"""Unwrapped keys kept in the session; a kilobyte or two each in SoftHSM, and bounded in real tokens."""

_PIN_ERRORS: Final = (
    exceptions.PinIncorrect,
    exceptions.PinInvalid,
    exceptions.PinLenRange,
    exceptions.PinExpired,
    exceptions.PinLocked,
    exceptions.UserPinNotInitialized,
)
_NOT_WRAPPABLE: Final = (
    exceptions.KeyNotWrappable,
    exceptions.KeyUnextractable,
    exceptions.MechanismInvalid,
    exceptions.FunctionNotSupported,
    exceptions.AttributeValueInvalid,
)
_NOT_MADE: Final = (
    exceptions.MechanismInvalid,
    exceptions.FunctionNotSupported,
    exceptions.DomainParamsInvalid,
    exceptions.AttributeValueInvalid,
)


def _log_in(module: Path, label: str, read_pin: Callable[[], str]) -> tuple[Module, Session]:
    library = pkcs11.lib(str(module))
    try:
        found = library.get_token(token_label=label)
    except exceptions.NoSuchToken:
        raise TokenProblem(
            f"there is no token labelled {label!r} in {module}: run notary-signer token init, "
            "or check pkcs11.token_label and, for SoftHSM, the variable SOFTHSM2_CONF"
        ) from None
    except exceptions.MultipleTokensReturned:
        raise TokenProblem(f"more than one token is labelled {label!r}") from None
    pin = read_pin()
    try:
        return library, found.open(rw=True, user_pin=pin)
    except _PIN_ERRORS as error:
        raise PinRefused(
            f"the token {label!r} refused the PIN ({type(error).__name__}): correct pkcs11.pin_file, then restart"
        ) from None


class Connection:
    """The module initialised, the token logged in, the KEK found and fit.

    Every method but `open` may raise `pkcs11.PKCS11Error`, which its only caller translates.
    """

    def __init__(self, library: Module, session: Session, max_handles: int) -> None:
        self._library = library
        self._session = session
        self._owner = threading.get_ident()
        self._max_handles = max_handles
        self._keks: dict[str, SecretKey] = {}
        self._handles: OrderedDict[str, PrivateKey] = OrderedDict()
        self._newest = KEK_LABEL
        self._probe: tuple[str, bytes, bytes] | None = None
        self.keeping: dict[Algorithm, Keeping] = {}

    @classmethod
    def open(
        cls, module: Path, label: str, read_pin: Callable[[], str], max_handles: int = MAX_HANDLES
    ) -> Connection:
        """Initialise the module anew, log in and find the KEK.

        Raises:
            TokenProblem: the token cannot be used; the module is left finalised.
        """
        try:
            library, session = _log_in(module, label, read_pin)
            connection = cls(library, session, max_handles)
            connection._newest = (keks.labels(session) or [KEK_LABEL])[-1]
            connection._kek(connection._newest)
            return connection
        except exceptions.PKCS11Error as error:
            cls._finalise(module)
            raise TokenProblem(f"the token {label!r} cannot be opened ({type(error).__name__})") from None
        except TokenFault as error:
            cls._finalise(module)
            raise TokenProblem(error.message) from None
        except TokenProblem:
            cls._finalise(module)
            raise

    @staticmethod
    def _finalise(module: Path) -> None:
        library = pkcs11._loaded.get(str(module))
        if library is not None:
            with suppress(exceptions.PKCS11Error):
                library.finalize()

    def close(self) -> None:
        """Give everything back; what the token refuses to take is gone with C_Finalize anyway."""
        self._check_thread()
        self._handles.clear()
        self._keks.clear()
        with suppress(exceptions.PKCS11Error):
            self._session.close()
        with suppress(exceptions.PKCS11Error):
            self._library.finalize()

    def _check_thread(self) -> None:
        # The module is initialised without locking: a second thread would crash the process.
        if threading.get_ident() != self._owner:
            raise RuntimeError("the PKCS#11 module was touched by a thread that does not own it")

    def _kek(self, label: str) -> SecretKey:
        kek = self._keks.get(label)
        if kek is None:
            found = objects.find_keks(self._session, label)
            if len(found) != 1:
                number = "no" if not found else "more than one"
                raise TokenFault(
                    f"the token holds {number} key-encryption key labelled {label!r}: is pkcs11.token_label "
                    "the token that notary-signer token init made?"
                )
            kek = found[0]
            problem = objects.kek_problem(kek)
            if problem is not None:
                raise TokenFault(f"the key-encryption key {label!r} is unfit: {problem}")
            self._keks[label] = kek
        return kek

    def _newest_kek(self) -> str:
        """The label under which keys are wrapped from now on: an operator may have made a newer one."""
        self._newest = keks.newer(self._session, self._newest)
        return self._newest

    def self_test(self, algorithm: Algorithm) -> Keeping | None:
        """Sign and verify with a passing key; how keys of `algorithm` can be kept, None if the token has none.

        Raises:
            TokenFault: the token made a signature that does not verify.
        """
        self._check_thread()
        try:
            public, private = objects.generate_pair(self._session, algorithm, extractable=True)
        except _NOT_MADE:
            return None
        keeping: Keeping = "wrapped"
        public_key = objects.public_bytes(algorithm, public)
        public.destroy()
        label = self._newest_kek()
        try:
            blob = objects.wrap(self._kek(label), private)
            survivor = objects.unwrap(self._kek(label), algorithm, blob)
        except _NOT_WRAPPABLE:
            keeping, survivor = "resident", private
        else:
            private.destroy()
            if algorithm == "ecdsa":
                self._probe = (label, blob, public_key)
        self._prove(algorithm, survivor, public_key)
        survivor.destroy()
        self.keeping[algorithm] = keeping
        return keeping

    def _prove(self, algorithm: Algorithm, private: PrivateKey, public: bytes) -> None:
        signature = objects.sign(private, algorithm, objects.PROBE_MESSAGE)
        if not encoding.verifies(algorithm, public, signature, objects.PROBE_MESSAGE):
            raise TokenFault(f"the token made an {algorithm} signature that does not verify")

    def probe(self) -> None:
        """Return if a key wrapped earlier can be unwrapped and signs, or where nothing wraps, a new key signs."""
        self._check_thread()
        stale = self._probe is None or self._probe[0] != self._newest_kek()
        if stale and self.self_test("ecdsa") is None:
            raise TokenFault("the token makes no ecdsa keys, so its health cannot be proved")
        if self._probe is None:
            return  # a token that cannot wrap has just signed with a key of the session
        label, blob, public = self._probe
        private = objects.unwrap(self._kek(label), "ecdsa", blob)
        try:
            self._prove("ecdsa", private, public)
        finally:
            private.destroy()

    def generate(self, algorithm: Algorithm, label: str) -> NewKey:
        """Make a key, keep it the way the self-test found, and prove that it signs. Its handle stays loaded.

        That what was wrapped can be unwrapped is proved for the token, at start and by every probe, not for each
        key: it would take as long as all the rest.

        Raises:
            TokenFault: the token has no such algorithm, or the new key does not work.
        """
        self._check_thread()
        keeping = self.keeping.get(algorithm)
        if keeping is None:
            keeping = self.self_test(algorithm)
        if keeping is None:
            raise TokenFault(f"the token makes no {algorithm} keys")
        wrapped = keeping == "wrapped"
        public, private = objects.generate_pair(
            self._session, algorithm, extractable=wrapped, store=not wrapped, label=label
        )
        try:
            key = self._kept(algorithm, objects.public_bytes(algorithm, public), private, keeping)
            if wrapped and not objects.seal_in(private):
                original, private = (
                    private,
                    objects.unwrap(self._kek(key.private.kek_label), algorithm, key.private.blob),
                )
                original.destroy()
            self._prove(algorithm, private, key.public)
        except BaseException:
            with suppress(exceptions.PKCS11Error):
                private.destroy()
            raise
        finally:
            with suppress(exceptions.PKCS11Error):
                public.destroy()
        self._keep(key.key_id, private)
        return key

    def _kept(self, algorithm: Algorithm, public: bytes, private: PrivateKey, keeping: Keeping) -> NewKey:
        key_id = encoding.key_id(algorithm, public)
        if keeping == "wrapped":
            label = self._newest_kek()
            part = PrivatePart("wrapped", label, objects.wrap(self._kek(label), private))
        else:
            objects.name_resident(private, key_id)
            part = PrivatePart("resident", "", b"")
        return NewKey(key_id, algorithm, public, part)

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
            handle = objects.unwrap(self._kek(private.kek_label), algorithm, private.blob)
        else:
            # On a dead session this fails quietly; a search would fail too, but with noise on standard error.
            _ = self._kek(self._newest)[pkcs11.Attribute.KEY_TYPE]
            found = objects.find_resident(self._session, key_id)
            if len(found) != 1:
                raise TokenFault(
                    "the token does not hold this key" if not found else "the token holds this key twice"
                )
            handle = found[0]
        self._keep(key_id, handle)
        return handle

    def _keep(self, key_id: str, handle: PrivateKey) -> None:
        self._handles[key_id] = handle
        while len(self._handles) > self._max_handles:
            _, evicted = self._handles.popitem(last=False)
            # A resident key is the only copy: its handle is let go, the object stays.
            if not evicted[pkcs11.Attribute.TOKEN]:
                evicted.destroy()

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
        """The labels of the token's KEKs, the newest last."""
        self._check_thread()
        return keks.labels(self._session)

    def keywraps(self) -> dict[Algorithm, str]:
        """How keys of each algorithm that leave the token are wrapped."""
        return {algorithm: AES_KWP for algorithm, keeping in self.keeping.items() if keeping == "wrapped"}

    def make_kek(self, label: str) -> None:
        """Make a KEK.

        Raises:
            TokenFault: it is there already, or the token made an unfit one.
        """
        self._check_thread()
        keks.make(self._session, label)

    def destroy_kek(self, label: str) -> None:
        """Destroy a KEK."""
        self._check_thread()
        self._keks.pop(label, None)
        for kek in objects.find_keks(self._session, label):
            kek.destroy()

    def rewrap(self, key: KeyRecord, label: str) -> PrivatePart:
        """Wrap a key under another KEK, unwrap that again and have it sign.

        Raises:
            TokenFault: the token holds one of the KEKs not, or the key is not that of its public half.
        """
        self._check_thread()
        passing = objects.unwrap(
            self._kek(key.private.kek_label), key.algorithm, key.private.blob, extractable=True
        )
        try:
            blob = objects.wrap(self._kek(label), passing)
        finally:
            passing.destroy()
        unwrapped = objects.unwrap(self._kek(label), key.algorithm, blob)
        try:
            self._prove(key.algorithm, unwrapped, key.public)
        finally:
            unwrapped.destroy()
        return PrivatePart("wrapped", label, blob)
