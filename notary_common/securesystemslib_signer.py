"""The signer for whatever signs through securesystemslib: python-tuf, RSTUF, in-toto. For clients' machines, too.

    import notary_common.securesystemslib_signer            # makes the address scheme known
    uri, key = NotarySigner.new("signer.example.com:7899", "example.com/app", "timestamp")
    metadata.sign(Signer.from_priv_key_uri(uri, key))

Who signs shows a client certificate, and gets only what the signer's policy and its `clients` allow: a snapshot or a
timestamp of the very repository that the key was made for. Unless a TLS context is given, the files are named by
`NOTARY_SSLIB_CA_FILE`, `NOTARY_SSLIB_CERT_FILE` and `NOTARY_SSLIB_KEY_FILE`.
"""

from __future__ import annotations

import http.client
import os
import ssl
import uuid
from pathlib import Path
from typing import Final, NoReturn, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Key, SecretsHandler, Signature, Signer

from . import wire
from .tls import client_context
from .tuf_keys import signer_key, standard_key, standard_signature

SCHEME: Final = "notary-signer"
ENVIRONMENT: Final = ("NOTARY_SSLIB_CA_FILE", "NOTARY_SSLIB_CERT_FILE", "NOTARY_SSLIB_KEY_FILE")
"""Whom to believe, what to show, and its private key: PEM files."""
TIMEOUT: Final = 10.0
"""Seconds for one call."""
MAX_ANSWER_BYTES: Final = 1 << 20
"""A key or a signature has a few kilobytes."""

Answer = TypeVar("Answer")


class NotarySignerError(Exception):
    """The signer cannot be asked, refuses, or gives what cannot be used; the text is for people."""


class NotarySigner(Signer):
    """A key in the signer's token. Its address: `notary-signer://HOST:PORT/KEYID?gun=GUN&role=ROLE`."""

    def __init__(
        self,
        address: str,
        key_id: str,
        gun: str,
        role: wire.OnlineRole,
        public_key: Key,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            address: `host:port` of the signer.
            key_id: the signer's ID of the key, which is not securesystemslib's.
            gun, role: what the key was made for.
            tls: with a client certificate; None: as the environment says.

        Raises:
            NotarySignerError: neither says which certificate to show.
        """
        self._api = _Api(address, tls or _tls_of_environment())
        self._key_id = key_id
        self._gun = gun
        self._role: wire.OnlineRole = role
        self._public_key = public_key

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> NotarySigner:
        """See `Signer.from_priv_key_uri`. No secrets are asked for.

        Raises:
            ValueError: the address is not of this kind.
            NotarySignerError: the environment does not say which certificate to show.
        """
        parts = urlsplit(priv_key_uri)
        query = parse_qs(parts.query)
        key_id, gun, role = (
            parts.path.removeprefix("/"),
            query.get("gun", [""])[0],
            query.get("role", [""])[0],
        )
        if parts.scheme != SCHEME or not parts.netloc or not key_id or not gun:
            raise ValueError(f"the address of a key is {SCHEME}://HOST:PORT/KEYID?gun=GUN&role=ROLE")
        return cls(parts.netloc, key_id, gun, _online_role(role), public_key)

    @classmethod
    def new(
        cls,
        address: str,
        gun: str,
        role: wire.OnlineRole,
        algorithm: wire.Algorithm = "ecdsa",
        tls: ssl.SSLContext | None = None,
    ) -> tuple[str, Key]:
        """Have a key made, or take the one that was never used: its address and public half.

        Raises:
            NotarySignerError: the signer cannot be asked, or refuses.
        """
        body = wire.CreateKeyRequest(gun, role, algorithm)
        key = _Api(address, tls or _tls_of_environment()).call("POST", "/v1/keys", body, wire.Key)
        return _described(address, key)

    @classmethod
    def import_(cls, address: str, key_id: str, tls: ssl.SSLContext | None = None) -> tuple[str, Key]:
        """Address and public half of a key that the signer holds.

        Raises:
            NotarySignerError: the signer cannot be asked, or does not hold it.
        """
        api = _Api(address, tls or _tls_of_environment())
        return _described(address, api.call("GET", f"/v1/keys/{quote(key_id, safe='')}", None, wire.Key))

    def sign(self, payload: bytes) -> Signature:
        """A signature over the canonical form of a snapshot or timestamp; verified before it is given out.

        Raises:
            NotarySignerError: the signer cannot be asked, refuses, or signed with another key.
        """
        known = signer_key(self._public_key)
        if known is None:
            raise NotarySignerError("the public key is of no kind that the signer makes")
        body = wire.SignRequest(self._gun, self._role, payload)
        path = f"/v1/keys/{quote(self._key_id, safe='')}/sign"
        answer = self._api.call("POST", path, body, wire.SignResponse)
        raw = standard_signature(known[0], answer.signature)
        signature = Signature(self._public_key.keyid, raw.hex())
        try:
            self._public_key.verify_signature(signature, payload)
        except UnverifiedSignatureError:
            raise NotarySignerError(
                "the signature is not of the public key that belongs to this address"
            ) from None
        return signature


class _Api:
    """Calls of the signer's API, one connection each."""

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self._address = address
        self._tls = tls

    def call(self, method: str, path: str, body: msgspec.Struct | None, kind: type[Answer]) -> Answer:
        """Send `body` as JSON and read the answer. Raises: NotarySignerError."""
        data = None if body is None else msgspec.json.encode(body)
        fields = {"Content-Type": "application/json", "X-Request-ID": uuid.uuid4().hex}
        connection = http.client.HTTPSConnection(self._address, timeout=TIMEOUT, context=self._tls)
        try:
            connection.request(method, path, data, fields)
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise NotarySignerError(f"the signer at {self._address} cannot be asked: {error}") from error
        finally:
            connection.close()
        try:
            if response.status == http.client.OK:
                return msgspec.json.decode(content, type=kind)
            _refuse(msgspec.json.decode(content, type=wire.ErrorResponse))
        except (msgspec.MsgspecError, UnicodeError):
            raise NotarySignerError(f"the signer's answer ({response.status}) cannot be understood") from None


def _refuse(error: wire.ErrorResponse) -> NoReturn:
    raise NotarySignerError(f"the signer refused ({error.error.code}): {error.error.message}")


def _described(address: str, key: wire.Key) -> tuple[str, Key]:
    query = urlencode({"gun": key.gun, "role": key.role})
    return f"{SCHEME}://{address}/{key.key_id}?{query}", standard_key(key.algorithm, key.public)


def _online_role(role: str) -> wire.OnlineRole:
    if role == "snapshot":
        return "snapshot"
    if role == "timestamp":
        return "timestamp"
    raise ValueError("the address of a key names its role: snapshot or timestamp")


def _tls_of_environment() -> ssl.SSLContext:
    files = [Path(os.environ[name]) if os.environ.get(name) else None for name in ENVIRONMENT]
    if files[1] is None or files[2] is None:
        raise NotarySignerError(
            f"set {ENVIRONMENT[1]} and {ENVIRONMENT[2]}: the signer knows its clients by certificate"
        )
    return client_context(*files)


SIGNER_FOR_URI_SCHEME[SCHEME] = NotarySigner
