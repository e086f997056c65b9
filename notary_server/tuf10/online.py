"""The keys that the server signs with: which of them a TUF 1.0 root lists, and whether they may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from notary_common.tuf_keys import signer_key, standard_key
from notary_common.wire import Algorithm

from ..tuf.keys import key_id
from ..tuf.model import HeldKey, PublicKey
from ..tuf.names import Gun, KeyId, RoleName
from ..tuf.online import MAX_ONLINE_KEYS, ONLINE_ROLES


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """A held key, and the ID under which root files it: another one than the signer's."""

    keyid: str
    held: HeldKey


@dataclass(frozen=True, slots=True)
class StandardKey:
    """A key as TUF 1.0 has it: its ID as securesystemslib computes it, and the object that a root holds under it."""

    keyid: str
    document: Mapping[str, Any]


def in_standard_form(held: HeldKey) -> StandardKey:
    """A key of the signer as TUF 1.0 has it."""
    key = standard_key(cast(Algorithm, held.key.keytype), held.key.public)
    return StandardKey(key.keyid, key.to_dict())


def listed(root: Root, role: RoleName) -> Iterator[tuple[str, KeyId]]:
    """Of each key of an online role that the signer could hold: the ID it is filed under, and the signer's."""
    for keyid in islice(root.roles[role].keyids, MAX_ONLINE_KEYS):
        key = root.keys.get(keyid)
        computed = None if key is None else _signers_id(key)
        if computed is not None:
            yield keyid, computed


def candidates(root: Root) -> frozenset[KeyId]:
    """The signer's IDs of all keys that it must be asked about."""
    return frozenset(computed for role in ONLINE_ROLES for _, computed in listed(root, role))


def signers(gun: Gun, root: Root, role: RoleName, held: Mapping[KeyId, HeldKey]) -> tuple[OnlineKey, ...]:
    """The held keys that sign `role` of `gun`, all of them, each once; empty if they do not meet the threshold."""
    usable: dict[KeyId, OnlineKey] = {}
    for keyid, computed in listed(root, role):
        key = held.get(computed)
        if key is not None and (key.gun, key.role) == (gun, role):
            usable.setdefault(computed, OnlineKey(keyid, key))
    return tuple(usable.values()) if len(usable) >= root.roles[role].threshold else ()


def misuse(gun: Gun, root: Root, held: Mapping[KeyId, HeldKey]) -> str | None:
    """Why `root` may not list the held keys as it does, None if it may."""
    for role in ONLINE_ROLES:
        for _, computed in listed(root, role):
            key = held.get(computed)
            if key is not None and (key.gun, key.role) != (gun, role):
                return (
                    f"the root's {role} role lists a server key that was made for another repository or role"
                )
    return None


def _signers_id(key: Key) -> KeyId | None:
    known = signer_key(key)
    return None if known is None else key_id(PublicKey(*known))
