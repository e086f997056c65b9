"""A repository without a server: the planner's state, test keys in the signer's place, and a strict client.

The client (`walk`) shares nothing with the code under test: it reads JSON with the standard library and verifies
with the publisher's own code.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from notary_server.tuf import generate, publish
from notary_server.tuf.document import Document, by_role
from notary_server.tuf.model import (
    FileSummary,
    HeldKey,
    PublicKey,
    Signature,
    SigningOrder,
    TrustState,
)
from notary_server.tuf.names import SNAPSHOT, Gun, KeyId, RoleName, Sha256Hex
from tests.publisher import Publisher
from tests.publisher.canonical import canonical
from tests.publisher.keys import Key, KeyObject, ecdsa_key, key_id, key_object
from tests.publisher.verifier import verifies

GUN = Gun("docker.example/team/app")
LIFETIMES = publish.Lifetimes()
DAY = 86_400 * 10**9


def summaries(files: Mapping[str, Mapping[int, bytes]]) -> dict[RoleName, FileSummary]:
    """What `TrustState.latest` has of these stored files, by role and version."""
    newest = {RoleName(role): max(versions) for role, versions in files.items()}
    return {
        role: FileSummary(version, Sha256Hex(hashlib.sha256(data).hexdigest()), len(data))
        for role, version in newest.items()
        for data in (files[role][version],)
    }


class Unreadable(AssertionError):
    """What a strict client would refuse to use."""


class World:
    """One GUN as the database holds it, and the keys that the signer holds for whichever GUN and role.

    Attributes:
        owner: who signs the uploads.
        files: the bytes of every stored version, by role and version.
        signer: the private keys by key ID, with what each was made for.
        now_ns: the time, in ns since 1970-01-01T00:00:00Z.
    """

    def __init__(self, *, client_snapshot: bool = False, key: Key | None = None) -> None:
        self.now_ns = time.time_ns()
        self.files: dict[str, dict[int, bytes]] = {}
        self.signer: dict[str, tuple[Key, HeldKey]] = {}
        self.owner = Publisher(GUN, snapshot=ecdsa_key() if client_snapshot else None)
        for role in ("timestamp",) if client_snapshot else ("timestamp", "snapshot"):
            made = self.make_key(role, key=key if role == "timestamp" else None)
            self.owner.server_keys[role] = made.object

    def make_key(self, role: str, *, gun: str = GUN, key: Key | None = None) -> Key:
        """A key that the signer holds from now on."""
        made = key or ecdsa_key()
        public = PublicKey(made.keytype, made.public)
        self.signer[made.id] = made, HeldKey(KeyId(made.id), public, Gun(gun), RoleName(role))
        return made

    def latest(self, role: str) -> bytes:
        """The stored bytes of the highest version of a role."""
        return self.files[role][max(self.files[role])]

    def store(self, role: str, data: bytes, version: int | None = None) -> None:
        """Put a file into the database, whatever it is."""
        number = json.loads(data)["signed"]["version"] if version is None else version
        self.files.setdefault(role, {})[number] = data

    def state(self, uploads: Sequence[Document] = ()) -> TrustState:
        """What `MetadataStore.trust_state` would return for these uploads."""
        latest = summaries(self.files)
        asked = {"root", "targets", "snapshot", "timestamp"} | publish.needed_roles(uploads)
        return TrustState(GUN, latest, {role: self.latest(role) for role in latest if role in asked})

    def held(self, state: TrustState, uploads: Sequence[Document] = ()) -> dict[KeyId, HeldKey]:
        """What the signer answers about the keys that deciding needs."""
        asked = publish.online_keys(by_role(state.files), uploads)
        return {keyid: self.signer[keyid][1] for keyid in asked if keyid in self.signer}

    def plan(self, files: Mapping[str, bytes]) -> publish.PublishPlan:
        """Decide on an upload; nothing is stored."""
        uploads = [Document(RoleName(role), data) for role, data in files.items()]
        state = self.state(uploads)
        held = self.held(state, uploads)
        return publish.plan(state, by_role(state.files), uploads, held, self.now_ns, LIFETIMES)

    def signatures(self, order: SigningOrder) -> list[Signature]:
        """What the signer makes of an order."""
        return [
            Signature(
                held.key_id,
                self.signer[held.key_id][0].method,
                self.signer[held.key_id][0].raw_signature(order.payload),
            )
            for held in order.keys
        ]

    def seal(self, order: SigningOrder) -> bytes:
        """Have an order signed, and seal it."""
        return generate.seal(order, self.signatures(order))

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Decide, sign, seal and store, as the server does."""
        plan = self.plan(files)
        stored = {file.role: file for file in plan.files}
        for file in plan.files:
            assert file.sha256 == hashlib.sha256(file.data).hexdigest()
            self.store(file.role, file.data, file.version)
        snapshot = stored[SNAPSHOT].data if plan.snapshot is None else self.seal(plan.snapshot)
        self.store("snapshot", snapshot)
        self.store("timestamp", self.seal(plan.timestamp(snapshot)))

    def first(self, **more: bytes) -> None:
        """A first publish of root and targets (and what else is given)."""
        self.publish(self.owner.first() | more)

    def walk(self) -> dict[str, dict[str, Any]]:
        """Read everything as a strict client: every `signed` by role. Raises: Unreadable."""
        walker = Walker(self.files)
        read = walker.walk()
        if walker.unreadable:
            raise Unreadable(f"not signed by its parent's keys: {walker.unreadable}")
        return read


class Walker:
    """Follows timestamp, snapshot, root, targets and delegations by their hashes.

    A delegation that its parent's keys do not verify is left out, as the original client does; it is named in
    `unreadable`.
    """

    def __init__(self, files: Mapping[str, Mapping[int, bytes]]) -> None:
        self._files = files
        self._read: dict[str, dict[str, Any]] = {}
        self.unreadable: list[str] = []

    def walk(self) -> dict[str, dict[str, Any]]:
        """Every `signed` that can be reached. Raises: Unreadable."""
        timestamp = self._files["timestamp"][max(self._files["timestamp"])]
        snapshot = self._find("snapshot", json.loads(timestamp)["signed"]["meta"]["snapshot"])
        listed = json.loads(snapshot)["signed"]["meta"]
        root = self._find("root", listed["root"])
        keys = json.loads(root)["signed"]["keys"]
        roles = json.loads(root)["signed"]["roles"]
        own = certified(keys[keyid] for keyid in roles["root"]["keyids"])
        self._verify("root", root, own, {"keyids": own, "threshold": roles["root"]["threshold"]})
        for role, data in {"timestamp": timestamp, "snapshot": snapshot}.items():
            self._verify(role, data, keys, roles[role])
        self._targets("targets", listed, keys, roles["targets"])
        for role in listed.keys() - self._read.keys():
            self._find(role, listed[role])
        return self._read

    def _targets(self, role: str, listed: Any, keys: Any, who: Any) -> None:
        data = self._find(role, listed[role])
        try:
            signed = self._verify(role, data, keys, who)
        except Unreadable:
            if role == "targets":
                raise
            self.unreadable.append(role)
            return
        delegations = signed.get("delegations") or {}
        for child in delegations.get("roles") or []:
            if child["name"] in listed:
                self._targets(child["name"], listed, delegations["keys"], child)

    def _find(self, role: str, entry: Any) -> bytes:
        for data in self._files.get(role, {}).values():
            if hashlib.sha256(data).digest() == base64.b64decode(entry["hashes"]["sha256"]):
                other = entry["hashes"].get("sha512")
                if other is not None and hashlib.sha512(data).digest() != base64.b64decode(other):
                    raise Unreadable(f"the SHA-512 of {role} is wrong")
                if entry["length"] != len(data):
                    raise Unreadable(f"the length of {role} is wrong")
                return data
        raise Unreadable(f"{role} is listed but not there")

    def _verify(self, role: str, data: bytes, keys: Any, who: Any) -> dict[str, Any]:
        document = json.loads(data)
        message = canonical(document["signed"])
        # Go reads a missing or null list as an empty one, and no threshold below 1 is ever met.
        signers = who.get("keyids") or ()
        threshold = max(who.get("threshold") or 0, 1)
        good = {
            one["keyid"]
            for one in document["signatures"]
            if one["keyid"] in signers
            and verifies(keys[one["keyid"]], one["method"].lower(), base64.b64decode(one["sig"]), message)
        }
        if len(good) < threshold:
            raise Unreadable(f"{role} is signed by {len(good)} of {threshold} keys")
        self._read[role] = document["signed"]
        return self._read[role]


def certified(keys: Iterable[KeyObject]) -> dict[str, KeyObject]:
    """Root keys as clients rebuild them from the certificates inside, whatever type and ID they are filed under."""
    rebuilt = {}
    for key in keys:
        # As Go reads them: what is missing or null is empty, and no certificate.
        public = base64.b64decode((key.get("keyval") or {}).get("public") or "")
        with contextlib.suppress(ValueError):
            certificate = x509.load_pem_x509_certificate(public)
            kind = "ecdsa" if isinstance(certificate.public_key(), ec.EllipticCurvePublicKey) else "rsa"
            made = key_object(f"{kind}-x509", public)
            rebuilt[key_id(made)] = made
    return rebuilt
