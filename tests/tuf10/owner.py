"""The owner of a TUF 1.0 repository: keys in memory, metadata by python-tuf, published to a server under test."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Key, Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    SuccinctRoles,
    TargetFile,
    Targets,
)
from tuf.ngclient import Updater, UpdaterConfig


class Refused(Exception):
    """The server's answer to what it does not take."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body.decode(errors='replace')}")
        self.status = status
        self.code = json.loads(body)["errors"][0]["code"]
        self.text = json.dumps(json.loads(body)["errors"][0])


class Server:
    """Where a server is, and how to talk to it."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self.url = url
        self.ca_file = ca_file
        self._tls = None if ca_file is None else ssl.create_default_context(cafile=str(ca_file))

    def ask(
        self, method: str, path: str, body: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> bytes:
        """One request; the body of its answer. Raises: Refused."""
        request = urllib.request.Request(self.url + path, body, dict(fields or {}), method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=20) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read()) from None

    def publish(self, gun: str, files: Mapping[str, bytes]) -> None:
        """Upload these files. Raises: Refused."""
        boundary = "tuf-1.0"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
            for name, data in files.items()
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        self.ask(
            "POST",
            f"/v2/{gun}/_trust/tuf/",
            body,
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )

    def online_key(self, gun: str, role: str, method: str = "GET") -> Key:
        """The key that the server signs a role with."""
        answer = json.loads(self.ask(method, f"/v2/{gun}/_trust/tuf/{role}.key.json"))
        return Key.from_dict(answer["keyid"], answer["key"])

    def file(self, gun: str, name: str) -> bytes:
        """A file as it is served."""
        return self.ask("GET", f"/v2/{gun}/_trust/tuf/{name}")

    def updater(self, gun: str, folder: Path, root: bytes | None = None) -> Updater:
        """An unmodified client of this repository."""
        folder.mkdir(parents=True, exist_ok=True)
        base = f"{self.url}/v2/{gun}/_trust/"
        return Updater(
            metadata_dir=str(folder),
            metadata_base_url=base + "tuf/",
            target_dir=str(folder),
            target_base_url=base + "targets/",
            config=UpdaterConfig(prefix_targets_with_hash=False),
            bootstrap=root,
        )


class Owner:
    """Root and targets of one repository, as they are to be published next.

    `root_keys`, `targets_keys`: who signs these roles.
    """

    def __init__(self, server: Server, gun: str, threshold: int = 1) -> None:
        self.server = server
        self.gun = gun
        self.root_keys = [CryptoSigner.generate_ecdsa() for _ in range(threshold)]
        self.targets_keys: list[Signer] = [CryptoSigner.generate_ed25519()]
        self.root = Root(expires=days(365))
        for signer in self.root_keys:
            self.root.add_key(signer.public_key, "root")
        self.root.roles["root"].threshold = threshold
        self.root.add_key(self.targets_keys[0].public_key, "targets")
        for role in ("snapshot", "timestamp"):
            self.root.add_key(server.online_key(gun, role), role)
        self.targets = Targets(expires=days(90))

    def first(self) -> bytes:
        """Publish root and targets; the root."""
        root = self.signed_root()
        self.server.publish(self.gun, {"root": root, "targets": self.signed_targets()})
        return root

    def signed_root(self, also: Sequence[Signer] = ()) -> bytes:
        """The root, signed by its keys and others."""
        return signed(self.root, [*self.root_keys, *also])

    def signed_targets(self) -> bytes:
        """The targets file, signed by its keys."""
        return signed(self.targets, self.targets_keys)

    def add(self, path: str, content: bytes) -> None:
        """List a target in the next targets file."""
        self.targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])

    def next_targets(self) -> bytes:
        """The targets file with the next version."""
        self.targets.version += 1
        return self.signed_targets()


def days(number: float) -> datetime:
    """A time from now on, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=number)


def signed(body: Any, signers: Sequence[Signer]) -> bytes:
    """A file that all of them signed."""
    metadata = Metadata(body)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def listing(*paths: str, version: int = 1) -> Targets:
    """A targets file of a delegate."""
    targets = {path: TargetFile.from_data(path, path.encode(), ["sha256"]) for path in paths}
    return Targets(version=version, expires=days(30), targets=targets)


def delegation(name: str, signer: Signer, **matching: Any) -> Delegations:
    """One role, one key."""
    key = signer.public_key
    role = DelegatedRole(name, [key.keyid], 1, matching.pop("terminating", False), **matching)
    return Delegations({key.keyid: key}, {name: role})


def in_bins(bits: int, prefix: str, signer: Signer) -> Delegations:
    """Hash bins, all with one key."""
    key = signer.public_key
    return Delegations({key.keyid: key}, None, SuccinctRoles([key.keyid], 1, bits, prefix))
