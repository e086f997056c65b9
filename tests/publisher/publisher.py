"""`Publisher`: one repository's owner, who signs what the original client would and bends what a test asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .certificates import RootKey, root_key
from .client import Client
from .files import LIFETIME_DAYS, Edit, Signed, entry, expires_in, signed_file
from .keys import Key, KeyObject, ecdsa_key, key_id

_SOME_TARGET = b"a small file"


class Publisher:
    """Holds a repository's keys and makes its files.

    Attributes:
        gun: the repository.
        root_keys, targets_keys: sign those roles.
        snapshot_keys: keys of a client-signed snapshot; empty when the server signs it.
        server_keys: the server's key objects by role (`timestamp`, and `snapshot` if the server signs it).
        delegation_keys: keys of each delegation by its full name.
    """

    def __init__(
        self,
        gun: str,
        *,
        root: RootKey | None = None,
        targets: Key | None = None,
        snapshot: Key | None = None,
    ) -> None:
        self.gun = gun
        self.root_keys: list[Key] = [root or root_key(gun)]
        self.targets_keys: list[Key] = [targets or ecdsa_key()]
        self.snapshot_keys: list[Key] = [snapshot] if snapshot else []
        self.server_keys: dict[str, KeyObject] = {}
        self.delegation_keys: dict[str, list[Key]] = {}

    def learn(self, client: Client) -> Publisher:
        """Ask the server for its keys, as `notary init` does.

        Raises:
            AssertionError: the server gave none.
        """
        for role in ("timestamp",) if self.snapshot_keys else ("timestamp", "snapshot"):
            reply = client.role(self.gun, f"{role}.key")
            assert reply.status == 200, f"GET {role}.key: {reply}"
            self.server_keys[role] = reply.json
        return self

    def role_objects(self) -> dict[str, list[KeyObject]]:
        """The key objects of the four base roles."""
        mine = {"root": self.root_keys, "targets": self.targets_keys, "snapshot": self.snapshot_keys}
        objects = {role: [key.object for key in keys] for role, keys in mine.items()}
        for role, key in self.server_keys.items():
            objects[role] = [*objects.get(role, []), key]
        return objects

    def root_signed(self, version: int = 1) -> Signed:
        """The `signed` member of root over the keys held now, every threshold 1."""
        objects = self.role_objects()
        return {
            "_type": "Root",
            "consistent_snapshot": False,
            "expires": expires_in(LIFETIME_DAYS["root"]),
            "keys": {key_id(key): key for keys in objects.values() for key in keys},
            "roles": {
                role: {"keyids": [key_id(key) for key in keys], "threshold": 1}
                for role, keys in objects.items()
            },
            "version": version,
        }

    def root(
        self,
        version: int = 1,
        *,
        signers: Sequence[Key] | None = None,
        edit: Edit | None = None,
        **knobs: Any,
    ) -> bytes:
        """Root, signed by `signers` (the root keys if None); knobs are those of `file_of`."""
        return signed_file(self.root_signed(version), signers or self.root_keys, edit, **knobs)

    def targets_signed(
        self, version: int = 1, *, targets: Mapping[str, Any] | None = None, delegates: Sequence[str] = ()
    ) -> Signed:
        """The `signed` member of targets or of a delegation that delegates to `delegates` (full names)."""
        keys = {role: self.keys_of(role) for role in delegates}
        return {
            "_type": "Targets",
            "delegations": {
                "keys": {key.id: key.object for held in keys.values() for key in held},
                "roles": [
                    {"keyids": [key.id for key in held], "name": role, "paths": [""], "threshold": 1}
                    for role, held in keys.items()
                ],
            },
            "expires": expires_in(LIFETIME_DAYS["targets"]),
            "targets": {"v1": entry(_SOME_TARGET)} if targets is None else dict(targets),
            "version": version,
        }

    def keys_of(self, role: str) -> list[Key]:
        """The keys of `targets` or of a delegation, made at first use."""
        if role == "targets":
            return self.targets_keys
        return self.delegation_keys.setdefault(role, [ecdsa_key()])

    def targets(
        self,
        version: int = 1,
        *,
        role: str = "targets",
        targets: Mapping[str, Any] | None = None,
        delegates: Sequence[str] = (),
        signers: Sequence[Key] | None = None,
        edit: Edit | None = None,
        **knobs: Any,
    ) -> bytes:
        """Targets, or the delegation `role`; knobs are those of `file_of`."""
        signed = self.targets_signed(version, targets=targets, delegates=delegates)
        return signed_file(signed, self.keys_of(role) if signers is None else signers, edit, **knobs)

    def delegation(self, role: str, version: int = 1, **knobs: Any) -> bytes:
        """The delegation `role` (full name); knobs are those of `targets`."""
        return self.targets(version, role=role, **knobs)

    def snapshot(
        self,
        files: Mapping[str, bytes],
        version: int = 1,
        *,
        signers: Sequence[Key] | None = None,
        edit: Edit | None = None,
        **knobs: Any,
    ) -> bytes:
        """A client-signed snapshot over `files` (role name to the file's bytes)."""
        signed: Signed = {
            "_type": "Snapshot",
            "expires": expires_in(LIFETIME_DAYS["snapshot"]),
            "meta": {role: entry(data) for role, data in files.items()},
            "version": version,
        }
        return signed_file(signed, self.snapshot_keys if signers is None else signers, edit, **knobs)

    def first(self, version: int = 1) -> dict[str, bytes]:
        """The files of a first publish: root, targets, and a snapshot if the client signs it."""
        files = {"root": self.root(version), "targets": self.targets(version)}
        if self.snapshot_keys:
            files["snapshot"] = self.snapshot(files, version)
        return files
