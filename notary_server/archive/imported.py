"""PURE: what an import did, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from notary_common.table import printable
from notary_server.inspection.tally import SHOWN
from notary_server.tuf.names import TIMESTAMP

from .keys import Lacking

Outcome = Literal["imported", "current", "refused"]
"""Something was missing and is stored now; everything was there; nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one repository; `size` in bytes of the files that were added."""

    gun: str
    outcome: Outcome
    files: int = 0
    size: int = 0
    reason: str = ""


@dataclass(slots=True)
class Imported:
    """All repositories of an archive.

    Attributes:
        lacking: the repositories whose keys the signer does not hold, all of them or some.
        unasked: why the signer could not be asked.
    """

    dry_run: bool
    repositories: list[Taken] = field(default_factory=list)
    lacking: dict[str, Sequence[Lacking]] = field(default_factory=dict)
    unasked: str | None = None

    @property
    def complete(self) -> bool:
        """Whether none was refused."""
        return not any(one.outcome == "refused" for one in self.repositories)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "dry_run": self.dry_run,
            "repositories": [
                {
                    "gun": one.gun,
                    "outcome": one.outcome,
                    "files": one.files,
                    "bytes": one.size,
                    "reason": one.reason,
                    "keys_not_held": [
                        {"role": lack.role, "key_ids": list(lack.key_ids), "advice": lack.advice}
                        for lack in self.lacking.get(one.gun, ())
                    ],
                }
                for one in self.repositories
            ],
            "signer_not_asked": self.unasked,
        }

    def as_text(self) -> str:
        """For people."""
        counts = [
            f"{sum(one.outcome == word for one in self.repositories)} {word}" for word in get_args(Outcome)
        ]
        did = "would be stored" if self.dry_run else "were stored"
        files = sum(one.files for one in self.repositories)
        size = sum(one.size for one in self.repositories)
        lines = [f"repositories: {', '.join(counts)}; {files} files with {size} bytes {did}"]
        refused = [one for one in self.repositories if one.outcome == "refused"]
        lines += [f"  {printable(f'{one.gun}: {one.reason}')}" for one in refused[:SHOWN]]
        lines += _more(len(refused))
        return "\n".join([*lines, *self._keys()])

    def _keys(self) -> list[str]:
        if self.unasked is not None:
            return [
                f"the signer could not be asked which keys it holds: {self.unasked}",
                "an archive has no private keys: without them these repositories can be read until their timestamps "
                "expire, and not be published to; start the signer and run this again",
            ]
        without = {
            gun: some for gun, some in self.lacking.items() if any(one.role == TIMESTAMP for one in some)
        }
        others = len(self.lacking) - len(without)
        lines: list[str] = []
        if without:
            lines += [
                f"an archive has no private keys, and this server's signer does not hold those of {len(without)} repositories:",
                "until it does they can be read until their timestamps expire, and not be published to. Bring the keys",
                "(docs/operations/backup.md), or have their owners do this with the root key:",
            ]
        for gun, some in list(without.items())[:SHOWN]:
            for lack in some:
                keys = ", ".join(lack.key_ids)
                lines.append(f"  {printable(f'{gun}: {lack.role} key {keys}')}")
                lines.append(f"    {printable(lack.advice)}")
        lines += _more(len(without))
        if others:
            lines.append(
                f"of {others} repositories the signer does not hold the snapshot key alone: mostly their owners hold it, and "
                "go on signing; --json names them"
            )
        return lines


def _more(number: int) -> list[str]:
    return [f"  and {number - SHOWN} more; --json names all"] if number > SHOWN else []
