"""A strict client: walks root, timestamp, snapshot, targets and delegations of a server and says what is wrong."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from .canonical import canonical
from .client import Client, Reply
from .keys import KeyObject, key_id, key_object

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
BASE_ROLES = ("root", "targets", "snapshot", "timestamp")
TYPES = {"root": "Root", "snapshot": "Snapshot", "timestamp": "Timestamp"}


def public_key(key: KeyObject) -> Any:
    """The pyca public key inside a key object; None for Ed25519 bytes of a wrong size and unknown types."""
    data = base64.b64decode(key["keyval"]["public"], validate=True)
    kind = key["keytype"] or ""
    if kind.endswith("-x509"):
        return x509.load_pem_x509_certificates(data)[0].public_key()
    if kind == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(data) if len(data) == 32 else None
    if kind not in {"ecdsa", "rsa"}:
        return None
    pem = data.startswith(b"-----BEGIN")
    return serialization.load_pem_public_key(data) if pem else serialization.load_der_public_key(data)


def verifies(key: KeyObject, method: str, sig: bytes, message: bytes) -> bool:
    """Whether one signature by one key holds."""
    try:
        public = public_key(key)
        if isinstance(public, ec.EllipticCurvePublicKey) and method == "ecdsa":
            size = (public.curve.key_size + 7) // 8
            if len(sig) != 2 * size:
                return False
            r, s = int.from_bytes(sig[:size], "big"), int.from_bytes(sig[size:], "big")
            public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, ed25519.Ed25519PublicKey) and method == "eddsa":
            public.verify(sig, message)
        elif isinstance(public, rsa.RSAPublicKey) and method in {"rsapss", "pycrypto-pkcs#1 pss"}:
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            public.verify(sig, message, pss, hashes.SHA256())
        elif isinstance(public, rsa.RSAPublicKey) and method == "rsapkcs1v15":
            public.verify(sig, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm, KeyError):
        return False
    return True


def _well_formed(key: Any) -> bool:
    keyval = key.get("keyval") if isinstance(key, dict) else None
    return (
        isinstance(keyval, dict)
        and isinstance(keyval.get("public"), str)
        and isinstance(key.get("keytype"), str)
    )


def _rebuilt(key: KeyObject) -> KeyObject | None:
    """A root key as clients take it: made anew from its certificates, whatever type and ID the file gives."""
    try:
        chain = x509.load_pem_x509_certificates(base64.b64decode(key["keyval"]["public"]))
    except (ValueError, TypeError, KeyError):
        return None
    rsa_leaf = isinstance(chain[0].public_key(), rsa.RSAPublicKey)
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    return key_object("rsa-x509" if rsa_leaf else "ecdsa-x509", pem)


def moment(text: str) -> dt.datetime:
    """An RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no RFC 3339 time")
    zone = "+00:00" if found[3] == "Z" else found[3]
    return dt.datetime.fromisoformat(found[1] + (found[2] or "")[:7] + zone)


def _no_other_spelling(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name.lower() for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("two members have one name, or differ by case alone")
    return dict(pairs)


def _whole(text: str) -> int:
    """A number with a point or exponent: a whole one is signed as an integer."""
    number = float(text)
    if not number.is_integer() or abs(number) > 2**53:
        raise ValueError(f"{text} cannot be signed")
    return int(number)


def _parse(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=_no_other_spelling, parse_float=_whole)


@dataclass
class Repository:
    """What a walk found: the problems, and the bytes and parsed `signed` of every file by role."""

    problems: list[str] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)
    signed: dict[str, dict[str, Any]] = field(default_factory=dict)


class Verifier:
    """Reads one repository of one server and trusts nothing.

    Args:
        allow_expired_certificate: accept a root certificate past its date, as long-lived repositories need.
    """

    def __init__(self, client: Client, gun: str, *, allow_expired_certificate: bool = False) -> None:
        self.client = client
        self.gun = gun
        self._allow_expired = allow_expired_certificate
        self.found = Repository()

    def problems(self) -> list[str]:
        """Walk the repository; an empty list means that every file a client needs verifies."""
        return self.walk().problems

    def walk(self) -> Repository:
        """Walk the repository and give back all that was found."""
        self.found = Repository()
        try:
            return self._walk()
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as problem:
            self._say(f"a file is not what a client can read: {type(problem).__name__}")
        return self.found

    def _walk(self) -> Repository:
        root = self._load("root", self.client.role(self.gun, "root.json"))
        if root is None:
            return self.found
        self._check_root(root)
        timestamp = self._load("timestamp", self.client.role(self.gun, "timestamp.json"))
        if timestamp is None:
            return self.found
        self._signatures("timestamp", root["keys"], root["roles"]["timestamp"])
        snapshot = self._listed("snapshot", timestamp)
        if snapshot is None:
            return self.found
        self._signatures("snapshot", root["keys"], root["roles"]["snapshot"])
        self._listed("root", snapshot)
        targets = self._listed("targets", snapshot)
        if targets is not None:
            self._signatures("targets", root["keys"], root["roles"]["targets"])
            self._delegations(targets, snapshot, 0)
        return self.found

    def _say(self, text: str) -> None:
        self.found.problems.append(text)

    def _load(self, role: str, reply: Reply) -> dict[str, Any] | None:
        if reply.status != 200:
            self._say(f"{role}: answered {reply.status}")
            return None
        if reply.headers.get("content-length", str(len(reply.body))) != str(len(reply.body)):
            self._say(f"{role}: Content-Length is not the body's length")
        try:
            document = _parse(reply.body)
            signed: dict[str, Any] = document["signed"]
            expires, version = moment(signed["expires"]), signed["version"]
        except (ValueError, KeyError, TypeError) as problem:
            self._say(f"{role}: not well-formed: {problem}")
            return None
        if signed.get("_type") != TYPES.get(role, "Targets"):
            self._say(f"{role}: _type is {signed.get('_type')!r}")
        if type(version) is not int or not 1 <= version < 2**31:
            self._say(f"{role}: version is {version!r}")
        if expires <= dt.datetime.now(dt.UTC):
            self._say(f"{role}: expired {expires}")
        self.found.data[role] = reply.body
        self.found.signed[role] = signed
        return signed

    def _listed(self, role: str, parent: dict[str, Any]) -> dict[str, Any] | None:
        """Fetch `role` by the checksum its parent lists; check hashes, length and the current address."""
        listed = parent["meta"].get(role)
        if listed is None:
            self._say(f"{role}: not listed")
            return None
        digest = base64.b64decode(listed["hashes"]["sha256"]).hex()
        reply = self.client.role(self.gun, f"{role}.{digest}.json")
        if reply.status == 200:
            for name, value in listed["hashes"].items():
                # Hashes of other kinds are nobody's concern, as with Go clients.
                if name in {"sha256", "sha512"} and hashlib.new(
                    name, reply.body
                ).digest() != base64.b64decode(value):
                    self._say(f"{role}: {name} is not the listed one")
            if len(reply.body) != listed["length"]:
                self._say(f"{role}: length is not the listed one")
        before = self.found.data.get(role)
        signed = self._load(role, reply)
        if signed is not None and before not in {None, reply.body}:
            self._say(f"{role}: the listed file is not the current one")
        current = self.client.role(self.gun, f"{role}.json")
        if current.body != reply.body or current.status != reply.status:
            self._say(f"{role}: the current address serves something else than the listed file")
        return signed

    def _signatures(self, role: str, keys: dict[str, KeyObject], rule: dict[str, Any]) -> None:
        document = _parse(self.found.data[role])
        message = canonical(document["signed"])
        good: set[str] = set()
        for one in document["signatures"]:
            filed = one["keyid"]
            if filed not in (rule.get("keyids") or []) or not _well_formed(keys.get(filed)):
                continue
            if key_id(keys[filed]) != filed:
                self._say(f"{role}: a key is filed under a wrong ID")
                continue
            if verifies(keys[filed], one["method"].lower(), base64.b64decode(one["sig"]), message):
                good.add(hashlib.sha256(repr(self._material(keys[filed])).encode()).hexdigest())
        if len(good) < rule["threshold"]:
            self._say(f"{role}: {len(good)} good signatures, threshold {rule['threshold']}")

    @staticmethod
    def _material(key: KeyObject) -> bytes:
        """What tells two keys apart: the public key itself, so that two certificates over it are one."""
        der, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        material: bytes = public_key(key).public_bytes(der, form)
        return material

    def _check_root(self, root: dict[str, Any]) -> None:
        rule = root["roles"]["root"]
        rebuilt = [_rebuilt(root["keys"][one]) for one in rule["keyids"] if one in root["keys"]]
        keys = {key_id(key): key for key in rebuilt if key is not None}
        self._signatures("root", keys, {"keyids": list(keys), "threshold": rule["threshold"]})
        usable = [self._usable(root["keys"][one]) for one in rule["keyids"] if one in root["keys"]]
        if not any(usable):
            self._say("root: no certificate for this repository")
        for role in BASE_ROLES:
            for one in root["roles"][role]["keyids"]:
                if one not in root["keys"]:
                    self._say(f"root: a key of {role} is missing")
        if any(((key or {}).get("keyval") or {}).get("private") for key in root["keys"].values()):
            self._say("root: carries a private key")

    def _usable(self, key: KeyObject) -> bool:
        if _rebuilt(key) is None:
            return False
        leaf = x509.load_pem_x509_certificates(base64.b64decode(key["keyval"]["public"]))[0]
        names = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        fits = any(
            name == self.gun or (name.endswith("*") and self.gun.startswith(name.rstrip("*")))
            for name in names
        )
        now = dt.datetime.now(dt.UTC)
        return fits and (self._allow_expired or now < leaf.not_valid_after_utc)

    def _delegations(self, parent: dict[str, Any], snapshot: dict[str, Any], depth: int) -> None:
        """Walk the delegations that are published; an announced one without a file is normal."""
        if depth > 32:
            self._say("delegations nest too deeply")
            return
        for rule in (parent.get("delegations") or {}).get("roles") or []:
            name = rule["name"]
            if name not in snapshot["meta"]:
                continue
            if name in self.found.data:
                self._say(f"{name}: delegated twice")
                continue
            signed = self._listed(name, snapshot)
            if signed is not None:
                self._signatures(name, parent["delegations"].get("keys") or {}, rule)
                self._delegations(signed, snapshot, depth + 1)
