"""Keys out of the token wrapped under its KEKs, and in again, in one session."""

from __future__ import annotations

from typing import Final

import pkcs11
from pkcs11 import PrivateKey, SecretKey, Session

from notary_common.wire import Algorithm
from notary_signer.errors import TokenFault
from notary_signer.ports import PrivatePart

from . import keks, objects
from .wrapping import Wrappings, wrappings

KEK_LABEL: Final = keks.label_of(1)
"""Label of the key that `token init` makes. Each registry row names the label that its key was wrapped under."""


class Wrapper:
    """The KEKs of a session and what the token can do with them. Every method may raise `pkcs11.PKCS11Error`."""

    def __init__(self, session: Session, manufacturer: str, token_name: str) -> None:
        """Args:
        manufacturer: whose module it is: some want more attributes with a key that they unwrap.
        token_name: for errors.
        """
        self._session = session
        self._manufacturer = manufacturer
        self._token_name = token_name
        self._handles: dict[str, SecretKey] = {}
        self._newest = KEK_LABEL
        self._known: Wrappings | None = None

    def begin(self) -> None:
        """Find the KEK that new keys are to be wrapped under.

        Raises:
            TokenFault: there is none, or it is unfit.
        """
        self._newest = (self.labels() or keks.labels(self._session) or [KEK_LABEL])[-1]
        self._kek(self._newest)

    def clear(self) -> None:
        """Let every handle go."""
        self._handles.clear()

    def labels(self) -> list[str]:
        """The labels of the KEKs that may guard keys, the newest last."""
        return [
            label
            for label in keks.labels(self._session)
            if label in self._handles or keks.is_fit(self._session, label)
        ]

    def newest(self) -> str:
        """The label that is proved: an operator may have brought a newer one, or destroyed an old one."""
        self.speak()
        self._newest = (self.labels() or [self._newest])[-1]
        return self._newest

    def speak(self) -> bool:
        """Touch the newest KEK, which fails if the session is dead; False if none is at hand.

        The newest, because another process may have destroyed an old one.
        """
        kek = self._handles.get(self._newest)
        if kek is None:
            return False
        _ = kek[pkcs11.Attribute.KEY_TYPE]
        return True

    def mechanisms(self) -> Wrappings:
        """How the token wraps, by the names that the registry uses, the best first."""
        if self._known is None:
            self._known = wrappings(self._session, self._kek(self.newest()))
        return self._known

    def wrap(self, private: PrivateKey, keywrap: str, label: str) -> PrivatePart:
        """A key as it leaves the token, wrapped under the KEK `label`.

        Raises:
            TokenFault: the token does not hold that KEK, or it is unfit.
        """
        blob = objects.wrap(self._kek(label), private, self.mechanisms()[keywrap])
        return PrivatePart("wrapped", label, blob, keywrap)

    def unwrap(self, algorithm: Algorithm, part: PrivatePart, *, extractable: bool = False) -> PrivateKey:
        """The key as an object of the session.

        Raises:
            TokenFault: the token does not hold its KEK, or cannot unwrap what was wrapped so.
        """
        kek = self._kek(part.kek_label)
        mechanism = self.mechanisms().get(part.keywrap)
        if mechanism is None:
            raise TokenFault(f"the token cannot unwrap keys that were wrapped as {part.keywrap}")
        extras = objects.unwrap_extras(self._manufacturer, algorithm)
        return objects.unwrap(kek, algorithm, part.blob, mechanism, extras, extractable=extractable)

    def make(self, label: str) -> None:
        """Make a KEK.

        Raises:
            TokenFault: it is there already, or the token made an unfit one.
        """
        keks.make(self._session, label)

    def destroy(self, label: str) -> None:
        """Destroy a KEK."""
        self._handles.pop(label, None)
        for kek in objects.find_keks(self._session, label):
            kek.destroy()

    def _kek(self, label: str) -> SecretKey:
        kek = self._handles.get(label)
        if kek is None:
            found = objects.find_keks(self._session, label)
            if len(found) != 1:
                number = "no" if not found else "more than one"
                raise TokenFault(
                    f"the token holds {number} key-encryption key labelled {label!r}: is {self._token_name} "
                    "the token that notary-signer token init made?"
                )
            kek = found[0]
            problem = objects.kek_problem(kek)
            if problem is not None:
                raise TokenFault(f"the key-encryption key {label!r} is unfit: {problem}")
            self._handles[label] = kek
        return kek
