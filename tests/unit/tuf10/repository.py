"""A TUF 1.0 repository without a server: the planner's state, test keys in the signer's place, python-tuf's client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from notary_common.tuf_keys import standard_key
from notary_server.tuf.model import HeldKey, PublicKey, Signature, TrustState
from notary_server.tuf.names import BASE_ROLES, Gun, KeyId, RoleName
from notary_server.tuf.publish import Lifetimes
from notary_server.tuf10.delegations import delegated
from notary_server.tuf10.file import StandardFile
from notary_server.tuf10.generate import StandardOrder, seal
from notary_server.tuf10.publish import needed_roles, online_keys, plan
from tests.publisher.keys import Key, ecdsa_key
from tests.tuf10.owner import days, delegation, in_bins, listing, signed
from tests.unit.tuf.world import summaries

GUN = Gun("docker.example/team/standard")


class Repository:
    """A published repository in memory: its files, its owner's keys and the signer's.

    Attributes:
        files: the stored bytes, by role and version.
        owner: who signs an upload of a role.
        signer: the private keys by the signer's ID, with what each was made for.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[int, bytes]] = {}
        self.signer: dict[str, tuple[Key, HeldKey]] = {}
        root_keys = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()]
        self.owner: dict[str, list[Signer]] = {
            "root": list(root_keys),
            "targets": [CryptoSigner.generate_ecdsa()],
            "alice": [CryptoSigner.generate_ed25519()],
        }
        root = Root(expires=days(365))
        for signer in root_keys:
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = 2
        root.add_key(self.owner["targets"][0].public_key, "targets")
        for role in ("snapshot", "timestamp"):
            root.add_key(self._make_online(role), role)
        alice, bins = self.owner["alice"][0], CryptoSigner.generate_ed25519()
        targets = Targets(expires=days(90), delegations=delegation("alice", alice, paths=["a/*"]))
        self.publish(
            {
                "root": signed(root, root_keys),
                "targets": signed(targets, self.owner["targets"]),
                "alice": signed(Targets(expires=days(30), delegations=in_bins(1, "bin", bins)), [alice]),
                "bin-0": signed(listing("x"), [bins]),
                "bin-1": signed(listing("y"), [bins]),
            }
        )

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Decide, sign, seal and store, as the server does. Raises: MalformedJson, InvalidUpdate, VersionConflict."""
        uploads = [StandardFile(RoleName(role), data) for role, data in files.items()]
        for upload in uploads:
            upload.check()
        state = self._state(uploads)
        uploaded = next((file for file in uploads if file.role == "root"), None)
        root = uploaded or StandardFile(RoleName("root"), state.files[RoleName("root")])
        held = {KeyId(keyid): self.signer[keyid][1] for keyid in online_keys(root) if keyid in self.signer}
        decided = plan(state, uploads, held, time.time_ns(), Lifetimes())
        snapshot = self._seal(decided.snapshot)
        timestamp = self._seal(decided.timestamp(snapshot))
        for file in decided.files:
            self._store(file.role, file.version, file.data)
        self._store("snapshot", decided.snapshot.version, snapshot)
        self._store("timestamp", decided.next_timestamp.version, timestamp)

    def copy(self) -> Repository:
        """The same repository; what is published there is not published here."""
        other = object.__new__(Repository)
        other.files = {role: dict(versions) for role, versions in self.files.items()}
        other.signer, other.owner = self.signer, self.owner
        return other

    def next(self, role: str) -> bytes:
        """The following version of a role that the owner signs."""
        body = Metadata.from_bytes(self.latest(role)).signed
        body.version += 1
        return signed(body, self.owner[role])

    def latest(self, role: str) -> bytes:
        """The stored bytes of the highest version."""
        return self.files[role][max(self.files[role])]

    def read(self) -> None:
        """Go through all that is stored as python-tuf's client does. Raises: what the client raises."""
        roots = self.files["root"]
        trusted = TrustedMetadataSet(roots[1], EnvelopeType.METADATA)
        for version in range(2, max(roots) + 1):
            trusted.update_root(roots[version])
        trusted.update_timestamp(self.latest("timestamp"))
        trusted.update_snapshot(self.latest("snapshot"))
        waiting, seen = [("targets", "root")], set()
        while waiting:
            role, delegator = waiting.pop()
            if role not in seen:
                seen.add(role)
                version = trusted.snapshot.meta[f"{role}.json"].version
                body = trusted.update_delegated_targets(self.files[role][version], role, delegator)
                waiting += [(name, role) for name in delegated(body)]

    def _make_online(self, role: str) -> Any:
        key = ecdsa_key()
        self.signer[key.id] = (
            key,
            HeldKey(KeyId(key.id), PublicKey(key.keytype, key.public), GUN, RoleName(role)),
        )
        return standard_key("ecdsa", key.public)

    def _state(self, uploads: Iterable[StandardFile]) -> TrustState:
        latest = summaries(self.files)
        files = {role: self.latest(role) for role in latest if role in BASE_ROLES}
        needed = needed_roles(TrustState(GUN, latest, files), list(uploads))
        return TrustState(GUN, latest, files | {role: self.latest(role) for role in needed})

    def _seal(self, order: StandardOrder) -> bytes:
        keys = [self.signer[held.key_id][0] for held in order.keys]
        return seal(
            order, [Signature(KeyId(key.id), key.method, key.raw_signature(order.payload)) for key in keys]
        )

    def _store(self, role: str, version: int, data: bytes) -> None:
        assert version not in self.files.setdefault(role, {}), "a version was published twice"
        self.files[role][version] = data
