"""From the files of a repository in Notary's dialect to unsigned TUF 1.0 files of the same content, for its owner to sign.

What one dialect can say and the other cannot is carried over as near as may be, and told in a note each time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import Key, SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from ..tuf import keys as notary_keys
from ..tuf import model
from ..tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName, depth_order
from ..tuf.parse import listed_targets, parse_root, parse_targets
from .file import SCHEMES
from .generate import moment

_LAST_INSTANT: Final = 253_402_300_799 * 1_000_000_000
"""The last second of the year 9999, the latest that TUF 1.0 can write."""
_SPECIAL: Final = re.compile(r"[*?\[]")
"""Characters that mean something in a pattern."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Unsigned files by role, root first, and what the owner must know of them."""

    files: Mapping[RoleName, bytes]
    notes: tuple[str, ...]


def convert(stored: Mapping[RoleName, bytes], snapshot: Key, timestamp: Key) -> Conversion:
    """Make version 1 of every file.

    Args:
        stored: the latest root, targets and delegations.
        snapshot, timestamp: the server's keys for the repository that is to be, which has another name.

    Raises:
        notary_server.tuf.parse.ParseError: a stored file is malformed.
        KeyError: root or targets is missing.
    """
    return _Converting(stored).convert(snapshot, timestamp)


@dataclass(slots=True)
class _Converting:
    stored: Mapping[RoleName, bytes]
    notes: list[str] = field(default_factory=list)

    def convert(self, snapshot: Key, timestamp: Key) -> Conversion:
        files = {ROOT: Metadata(self._root(snapshot, timestamp)).to_bytes()}
        roles = sorted(self._reachable(), key=depth_order)
        for role in roles:
            files[role] = Metadata(self._targets(role)).to_bytes()
        left = sorted(self.stored.keys() - files.keys() - {SNAPSHOT, TIMESTAMP})
        self.notes.extend(f"{role}: left out, as nobody delegates to it any more" for role in left)
        return Conversion(files, tuple(dict.fromkeys(self.notes)))

    def _reachable(self) -> set[RoleName]:
        """Targets, and the published delegations that are delegated to from there."""
        found, waiting = {TARGETS}, [TARGETS]
        while waiting:
            body = parse_targets(waiting[-1], self.stored[waiting.pop()]).body
            below = {RoleName(role.name) for role in body.roles} & self.stored.keys() - found
            found |= below
            waiting += below
        return found

    def _root(self, snapshot: Key, timestamp: Key) -> Root:
        old = parse_root(self.stored[ROOT]).body
        root = Root(expires=self._expiry(ROOT, old.expires))
        for role in (ROOT, TARGETS):
            kept = self._keys(role, old.roles[role].keyids, old.keys)
            for key in kept:
                root.add_key(key, role)
            root.roles[role].threshold = self._threshold(role, old.roles[role].threshold, kept)
        root.add_key(snapshot, SNAPSHOT)
        root.add_key(timestamp, TIMESTAMP)
        self.notes.append(
            "snapshot and timestamp are signed by keys that the server made for the new repository"
        )
        return root

    def _targets(self, role: RoleName) -> Targets:
        data = self.stored[role]
        old = parse_targets(role, data).body
        raw = json.loads(data)["signed"]["targets"]
        listed = {path: _target(path, meta, raw[path]) for path, meta in listed_targets(role, data).items()}
        targets = {path: made for path, made in listed.items() if made is not None}
        self.notes.extend(
            f"{role}: target {path!r} is left out, as it has no hash"
            for path in listed.keys() - targets.keys()
        )
        return Targets(
            expires=self._expiry(role, old.expires), targets=targets, delegations=self._delegations(role, old)
        )

    def _delegations(self, role: RoleName, old: model.Targets) -> Delegations | None:
        keys: dict[str, Key] = {}
        roles: dict[str, DelegatedRole] = {}
        for delegated in old.roles:
            if delegated.name not in self.stored:
                self.notes.append(
                    f"{delegated.name}: the delegation is left out, as nothing was ever published for it"
                )
                continue
            kept = self._keys(delegated.name, delegated.keyids, old.keys)
            keys |= {key.keyid: key for key in kept}
            paths = list(dict.fromkeys(self._patterns(delegated)))
            threshold = self._threshold(delegated.name, delegated.threshold, kept)
            roles[delegated.name] = DelegatedRole(
                delegated.name, [key.keyid for key in kept], threshold, terminating=False, paths=paths
            )
        return Delegations(keys, roles) if roles else None

    def _patterns(self, delegated: model.DelegatedRole) -> Iterator[str]:
        """A pattern's star ends at a slash, and a prefix does not: so one pattern for each depth that is there."""
        role = RoleName(delegated.name)
        listed = listed_targets(role, self.stored[role])
        for prefix in delegated.paths:
            escaped = _SPECIAL.sub(r"[\g<0>]", prefix)
            depths = {path.removeprefix(prefix).count("/") for path in listed if path.startswith(prefix)} | {
                0
            }
            for depth in range(max(depths) + 1):
                yield escaped + "*" + "/*" * depth
            self.notes.append(
                f"{role}: the path prefix {prefix!r} becomes patterns for paths of {max(depths)} more slashes at most"
            )

    def _keys(self, role: str, keyids: tuple[str, ...], keys: Mapping[str, model.PublicKey]) -> list[Key]:
        kept: dict[str, Key] = {}
        for keyid in keyids:
            old = keys[keyid]
            made = _key(old)
            if made is None:
                self.notes.append(
                    f"{role}: a key of the type {old.keytype} is left out, as clients do not take it"
                )
                continue
            if old.keytype.endswith("-x509"):
                self.notes.append(
                    f"{role}: TUF 1.0 knows no certificates; the key in the certificate stays, its name and dates do not"
                )
            kept[made.keyid] = made
        return list(kept.values())

    def _threshold(self, role: str, wanted: int, kept: list[Key]) -> int:
        if wanted > len(kept):
            self.notes.append(
                f"{role}: asks for {wanted} signatures and has {len(kept)} keys; add keys before you sign"
            )
        return max(wanted, 1)

    def _expiry(self, role: RoleName, instant: int) -> datetime:
        if instant % 1_000_000_000:
            self.notes.append(f"{role}: expires in whole seconds, without the fraction")
        return moment(min(instant, _LAST_INSTANT))


def _key(old: model.PublicKey) -> Key | None:
    loaded: object
    try:
        material = notary_keys.material(old)
        loaded = (
            ed25519.Ed25519PublicKey.from_public_bytes(old.public)
            if old.keytype == "ed25519"
            else load_der_public_key(material)
        )
        if not isinstance(loaded, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
            return None
        made = SSlibKey.from_crypto(loaded)
    except ValueError:
        return None
    return made if (made.keytype, made.scheme) in SCHEMES else None


def _target(path: str, meta: model.FileMeta, raw: Mapping[str, Any]) -> TargetFile | None:
    """Hashes are hexadecimal instead of base64; what is custom stays as it is."""
    hashes = {algorithm: digest.hex() for algorithm, digest in meta.hashes.items()}
    custom = {} if raw.get("custom") is None else {"custom": raw["custom"]}
    return TargetFile(meta.length, hashes, path, custom) if hashes else None
