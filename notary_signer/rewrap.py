"""Move every wrapped key to another key-encryption key, one by one, while signers serve.

Each row names the KEK of its key, so signers read old and new rows alike, and a run that was broken off goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from notary_common.wire import Algorithm

from .errors import KeyRefused, TokenFault
from .ports import Journal, KekStore, KeyCatalogue, KeyRecord, KeyRegistry

PAGE: Final = 100
"""Keys read at once."""
SETTLING: Final = 60.0
"""Seconds after which every signer has stored what it was making when the first key was moved to the newer KEK, or has
given up: it waits 10 for its token, 3 for a connection, and 10 for each statement."""


@dataclass(slots=True)
class Rewrapped:
    """What became of the keys.

    Attributes:
        moved: now wrapped under the new KEK.
        passed: changed by somebody else meanwhile: destroyed, or moved by another run.
        failed: why, by key ID; these are as they were.
    """

    moved: int = 0
    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def target(
    registry: KeyRegistry, keks: KekStore, wanted: str | None, *, make: bool = False
) -> tuple[str, bool]:
    """The label of the KEK to move to, and whether it is still to be made.

    Args:
        registry: tells which KEK is in use.
        keks: the token's.
        wanted: the label of the newest; None: the newest, whatever it is called.
        make: make another.

    Raises:
        KeyRefused: `wanted` is another one, or one is there already that nothing was moved to.
    """
    labels = await keks.keks()
    if not labels:
        raise KeyRefused("the token holds no key-encryption key: its keys are resident and cannot be moved")
    newest = labels[-1]
    if make:
        if newest != await registry.newest_kek(labels):
            raise KeyRefused(
                f"{newest!r} was made or imported already and wraps no key yet: leave --new-kek out"
            )
        return following_label(newest), True
    if wanted not in {None, newest}:
        raise KeyRefused(
            f"the newest key-encryption key that this token can use is {newest!r}: import {wanted!r} first, or make it "
            "with --new-kek if no signer has another token (docs/operations/keys.md)"
        )
    return newest, False


async def make_kek(keks: KekStore, journal: Journal, label: str) -> None:
    """Make the KEK `label`; signers wrap new keys under it as soon as one key was moved to it."""
    await journal.append("make_kek", "begun", reason=label)
    await keks.make_kek(label)
    await journal.append("make_kek", "done", reason=label)


def following_label(newest: str) -> str:
    """The label of the KEK that would be made next."""
    head, _, number = newest.rpartition("-")
    return f"{head}-{int(number) + 1}"


async def waiting(catalogue: KeyCatalogue, keywraps: dict[Algorithm, str], label: str) -> int:
    """How many keys would be moved to the KEK `label`."""
    total = 0
    for (algorithm, kek, keywrap), count in (await catalogue.kek_uses()).items():
        wanted = keywraps.get(algorithm)
        if wanted is not None and (kek, keywrap) != (label, wanted):
            total += count
    return total


async def rewrap(
    catalogue: KeyCatalogue, keks: KekStore, journal: Journal, label: str, progress: Callable[[int], None]
) -> Rewrapped:
    """Move all keys to the KEK `label`, those too that are made under another one meanwhile.

    Args:
        progress: is told 1 for each key that was looked at.

    Raises:
        TokenUnavailable, RegistryUnavailable, AuditUnavailable: what was moved so far stays; run it again.
    """
    result = Rewrapped()
    keywraps = await keks.keywraps()
    await journal.append("rewrap_keys", "begun", reason=f"to {label}")
    found = True
    while found:
        found = False
        for algorithm, keywrap in keywraps.items():
            after = ""
            while page := await catalogue.wrapped_otherwise(algorithm, label, keywrap, after, PAGE):
                after = page[-1].key_id
                for key in page:
                    if key.key_id not in result.failed:
                        found = True
                        await _move(catalogue, keks, journal, key, label, result)
                        progress(1)
    await journal.append(
        "rewrap_keys", "done", reason=f"to {label}: {result.moved} moved, {len(result.failed)} failed"
    )
    return result


async def _move(
    catalogue: KeyCatalogue, keks: KekStore, journal: Journal, key: KeyRecord, label: str, result: Rewrapped
) -> None:
    try:
        fresh = await keks.rewrap(key, label)
    except TokenFault as error:
        about = {"gun": key.gun, "role": key.role, "key_id": key.key_id}
        await journal.append("rewrap_key", "failed", reason=error.message, **about)
        result.failed[key.key_id] = error.message
        return
    if await catalogue.swap(key.key_id, key.private, fresh):
        result.moved += 1
    else:
        result.passed += 1


async def old_keks(registry: KeyRegistry, catalogue: KeyCatalogue, keks: KekStore) -> list[str]:
    """The labels of all KEKs that are older than the one in use; one that wraps nothing yet is not.

    Raises:
        KeyRefused: a key, whatever its state, still needs one of them.
    """
    labels = await keks.keks()
    old = labels[: labels.index(await registry.newest_kek(labels))] if labels else []
    needed = dict.fromkeys(old, 0)
    for (_, kek, _), count in (await catalogue.kek_uses()).items():
        if kek in needed:
            needed[kek] += count
    still = [f"{count} under {kek}" for kek, count in needed.items() if count]
    if still:
        raise KeyRefused(
            f"keys still need an old key-encryption key ({', '.join(still)}): run keys rewrap, "
            "and see which keys it cannot move"
        )
    return old


async def destroy_old_keks(
    registry: KeyRegistry, catalogue: KeyCatalogue, keks: KekStore, journal: Journal, settling: float
) -> list[str]:
    """Destroy all KEKs that are older than the one in use, for ever; which they were.

    It looks twice, with `settling` seconds (`SETTLING`) in between: a signer may have been making a key under an old one.

    Raises:
        KeyRefused: as `old_keks`.
    """
    if not await old_keks(registry, catalogue, keks):
        return []
    await asyncio.sleep(settling)
    old = await old_keks(registry, catalogue, keks)
    for label in old:
        await journal.append("destroy_kek", "begun", reason=label)
        await keks.destroy_kek(label)
        await journal.append("destroy_kek", "done", reason=label)
    return old
