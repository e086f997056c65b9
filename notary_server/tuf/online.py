"""The keys that the server signs with: which of them a root lists, and whether they may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from .keys import key_id
from .model import HeldKey, PublicKey, Root
from .names import SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName

ONLINE_ROLES: Final = (SNAPSHOT, TIMESTAMP)
"""The roles that the server may sign."""
MAX_ONLINE_KEYS: Final = 32
"""Keys of one role that are looked at, in the order of its `keyids`: each costs the signer a look-up and,
if held, a signature. Those beyond count as not held."""


def listed(root: Root, role: RoleName) -> Iterator[tuple[str, KeyId, PublicKey]]:
    """Of each key of an online role: the ID it is filed under, the ID it really has, and the key."""
    keyids = tuple(dict.fromkeys(root.roles[role].keyids))
    for filed in islice(keyids, MAX_ONLINE_KEYS):
        key = root.keys[filed]
        yield filed, key_id(key), key


def candidates(root: Root) -> frozenset[KeyId]:
    """The computed IDs of all keys that the signer must be asked about."""
    return frozenset(computed for role in ONLINE_ROLES for _, computed, _ in listed(root, role))


def signers(gun: Gun, root: Root, role: RoleName, held: Mapping[KeyId, HeldKey]) -> tuple[HeldKey, ...]:
    """The held keys that sign `role` of `gun`, all of them; empty if they do not meet the threshold.

    A key made for another repository or role never signs, whatever root says, and neither does one filed
    under an ID that is not its own: nobody could verify what it signs.
    """
    usable = tuple(
        held[computed]
        for filed, computed, _ in listed(root, role)
        if filed == computed and computed in held and _made_for(held[computed], gun, role)
    )
    return usable if len(usable) >= root.roles[role].threshold else ()


def misuse(gun: Gun, root: Root, held: Mapping[KeyId, HeldKey]) -> str | None:
    """Why `root` may not list the held keys as it does, None if it may."""
    for role in ONLINE_ROLES:
        for filed, computed, _ in listed(root, role):
            if computed not in held:
                continue
            if not _made_for(held[computed], gun, role):
                return (
                    f"the root's {role} role lists a server key that was made for another repository or role"
                )
            if filed != computed:
                return f"the root files the server's {role} key under an ID that is not the key's own"
    return None


def _made_for(key: HeldKey, gun: Gun, role: RoleName) -> bool:
    return key.gun == gun and key.role == role
