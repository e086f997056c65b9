"""Registry tokens spelled by hand, good ones and every bad one; nothing of the code under test has a part in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.publisher.certificates import Authority, issue

ISSUER, SERVICE, REALM = "the token service", "the trust server", "https://auth.example.org/token"
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"), "secp521r1": ("P-521", "ES512")}


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def access(name: str, *actions: str, type: str = "repository") -> dict[str, Any]:  # noqa: A002
    """One entry of a token's access list."""
    return {"type": type, "name": name, "actions": list(actions)}


def claims(*entries: Any, **changes: Any) -> dict[str, Any]:
    """Good claims, with `changes` laid over them; None takes one out."""
    now = int(time.time())
    good = {
        "iss": ISSUER, "aud": SERVICE, "sub": "alice", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
        "access": list(entries),
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@dataclass(frozen=True)
class Signer:
    """A key that signs tokens, with a self-signed certificate."""

    private: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ca: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "certificate", issue(self.private, "tokens", ca=self.ca))

    certificate: x509.Certificate = field(init=False)

    @property
    def authority(self) -> Authority:
        """The key and its certificate as an authority."""
        return Authority(self.private, self.certificate)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def spki(self) -> bytes:
        """The public key."""
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """libtrust's name of the key."""
        text = base64.b32encode(hashlib.sha256(self.spki).digest()[:30]).decode()
        return ":".join(text[i : i + 4] for i in range(0, len(text), 4))

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as JSON Web Key, with the members that its thumbprint is over."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            size = (numbers.n.bit_length() + 7) // 8
            return {
                "e": b64(numbers.e.to_bytes(3, "big")),
                "kty": "RSA",
                "n": b64(numbers.n.to_bytes(size, "big")),
            }
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {"crv": "Ed25519", "kty": "OKP", "x": b64(public.public_bytes_raw())}
        point, size = public.public_numbers(), (public.key_size + 7) // 8
        x, y = (b64(number.to_bytes(size, "big")) for number in (point.x, point.y))
        return {"crv": _CURVES[public.curve.name][0], "kty": "EC", "x": x, "y": y}

    @property
    def thumbprint(self) -> str:
        """RFC 7638's name of the key."""
        canonical = json.dumps(self.jwk, sort_keys=True, separators=(",", ":")).encode()
        return b64(hashlib.sha256(canonical).digest())

    @property
    def algorithm(self) -> str:
        """The usual algorithm of such a key."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return _CURVES[self.private.curve.name][1]
        return "RS256" if isinstance(self.private, rsa.RSAPrivateKey) else "EdDSA"

    def sign(self, data: bytes, algorithm: str) -> bytes:
        """A signature as JWS spells it."""
        key = self.private
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        hashing = _HASHES[algorithm[2:]]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.key_size + 7) // 8
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashing)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if algorithm.startswith("PS"):
            return key.sign(data, padding.PSS(padding.MGF1(hashing), hashing.digest_size), hashing)
        return key.sign(data, padding.PKCS1v15(), hashing)

    def token(self, said: Any, **header: Any) -> str:
        """A token with these claims. `header` is laid over the usual one; None takes a member out."""
        full = {"typ": "JWT", "alg": self.algorithm, "kid": self.fingerprint, **header}
        kept = {name: value for name, value in full.items() if value is not None}
        signed = f"{_part(kept)}.{_part(said)}"
        return f"{signed}.{b64(self.sign(signed.encode(), full['alg'] or self.algorithm))}"

    def shared_secret_token(self, said: Any, secret: bytes) -> str:
        """A token whose HMAC is made with something public, for servers that take any algorithm."""
        signed = f"{_part({'typ': 'JWT', 'alg': 'HS256', 'kid': self.fingerprint})}.{_part(said)}"
        return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"

    def unsigned_token(self, said: Any, spelling: str = "none") -> str:
        """A token that nobody signed."""
        return f"{_part({'typ': 'JWT', 'alg': spelling, 'kid': self.fingerprint})}.{_part(said)}."

    def chain(self, *above: Signer) -> list[str]:
        """The certificate and those above it as a header's `x5c`."""
        ders = [one.certificate.public_bytes(Encoding.DER) for one in (self, *above)]
        return [base64.b64encode(der).decode() for der in ders]


def _part(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())


def certified(above: Signer, *, ca: bool | None = False, **dates: Any) -> Signer:
    """A new key whose certificate `above` has signed."""
    made = Signer()
    certificate = issue(made.private, "leaf of tokens", issuer=above.authority, ca=ca, **dates)
    object.__setattr__(made, "certificate", certificate)
    return made


def key_set(*signers: Signer, **more: Any) -> bytes:
    """A JSON Web Key Set with a kid for each key: "key 0", "key 1", ..."""
    keys = [{**one.jwk, "kid": f"key {n}", "use": "sig", **more} for n, one in enumerate(signers)]
    return json.dumps({"keys": keys}).encode()


def options(folder: Path, *signers: Signer) -> dict[str, Any]:
    """The section `auth` of a configuration that believes these keys."""
    bundle = folder / "tokens.pem"
    bundle.write_bytes(b"".join(signer.pem for signer in signers))
    named = {"realm": REALM, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}
    return {"type": "token", "options": named}
