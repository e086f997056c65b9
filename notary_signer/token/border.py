"""Keys across the border of a token: made elsewhere and brought in, or taken out of it, in one session."""

from __future__ import annotations

from typing import Any

import pkcs11
from pkcs11 import PrivateKey, Session

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault
from notary_signer.ports import NewKey, PrivatePart

from . import moving, objects
from .settings import Proof
from .wrapper import Wrapper


def prove(algorithm: Algorithm, private: PrivateKey, public: bytes) -> None:
    """Return if the key makes a signature that its public half verifies.

    Raises:
        TokenFault: it does not.
    """
    signature = objects.sign(private, algorithm, objects.PROBE_MESSAGE)
    if not encoding.verifies(algorithm, public, signature, objects.PROBE_MESSAGE):
        raise TokenFault(f"the token made an {algorithm} signature that does not verify")


class Border:
    """Where keys pass. Every method may raise `pkcs11.PKCS11Error`."""

    def __init__(self, session: Session, wrapper: Wrapper, manufacturer: str) -> None:
        """`manufacturer`: whose module it is: some want more attributes with a key that comes in."""
        self._session = session
        self._wrapper = wrapper
        self._manufacturer = manufacturer
        self._ferry: moving.Ferry | None = None

    def clear(self) -> None:
        """Let every handle go."""
        self._ferry = None

    def wrapped(self, algorithm: Algorithm, pkcs8: bytes, public: bytes, proof: Proof) -> NewKey:
        """A key that came in, as it leaves the token again, wrapped as `proof` says.

        Raises:
            TokenFault: the token takes no such keys in, or the key does not work in it.
        """
        private = self._brought_in(algorithm, pkcs8, public, None)
        try:
            part = self._wrapper.wrap(private, proof.keywrap, self._wrapper.newest())
        finally:
            private.destroy()
        # What came from outside is proved as it will be used: out of its wrapping.
        survivor = self._wrapper.unwrap(algorithm, part)
        try:
            prove(algorithm, survivor, public)
        finally:
            survivor.destroy()
        return NewKey(encoding.key_id(algorithm, public), algorithm, public, part)

    def resident(self, algorithm: Algorithm, pkcs8: bytes, public: bytes, label: str) -> NewKey:
        """A key that came in, or was here already, as an object of the token.

        Raises:
            TokenFault: as for `wrapped`.
        """
        key_id = encoding.key_id(algorithm, public)
        found = objects.find_resident(self._session, key_id)
        private = found[0] if found else self._brought_in(algorithm, pkcs8, public, label)
        prove(algorithm, private, public)
        return NewKey(key_id, algorithm, public, PrivatePart("resident", "", b""))

    def take_out(self, algorithm: Algorithm, private: PrivatePart) -> bytes:
        """A wrapped key as PKCS#8 (DER).

        Raises:
            TokenFault: it is resident, or the token does not let it out.
        """
        if private.keeping == "resident":
            raise TokenFault("the key is resident in the token, which does not let it out")
        handle = self._wrapper.unwrap(algorithm, private, extractable=True)
        try:
            return self._ferried().take_out(handle)
        finally:
            handle.destroy()

    def _brought_in(self, algorithm: Algorithm, pkcs8: bytes, public: bytes, label: str | None) -> PrivateKey:
        """As an object of the session that can be wrapped, or if there is a label, of the token, which cannot."""
        attributes: dict[Any, Any] = {
            pkcs11.Attribute.TOKEN: label is not None,
            pkcs11.Attribute.EXTRACTABLE: label is None,
        }
        if label is not None:
            attributes |= {
                pkcs11.Attribute.LABEL: label,
                pkcs11.Attribute.ID: bytes.fromhex(encoding.key_id(algorithm, public)),
            }
        attributes |= objects.unwrap_extras(self._manufacturer, algorithm, public)
        return self._ferried().bring_in(algorithm, pkcs8, attributes)

    def _ferried(self) -> moving.Ferry:
        if self._ferry is None:
            self._ferry = moving.Ferry(self._session)
        return self._ferry
