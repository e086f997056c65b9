"""PURE: what is looked at of one stored repository, and what its current timestamp leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from notary_server.inspection.examine import Stored
from notary_server.storage.chain import listed_digests
from notary_server.tuf.names import SNAPSHOT, Gun, RoleName


@dataclass(frozen=True, slots=True)
class Evidence:
    """One repository with the bytes that verifying needs.

    Attributes:
        stored: its rows, and the latest files.
        roots: every stored version of root, the oldest first.
        files: the files that clients get: the latest timestamp and what it leads to.
    """

    stored: Stored
    roots: Sequence[bytes]
    files: Mapping[RoleName, bytes]

    @property
    def gun(self) -> Gun:
        """Its name."""
        return self.stored.gun

    @property
    def missing(self) -> list[RoleName]:
        """What the current snapshot lists and nobody stores."""
        listed = listed_digests(self.files.get(SNAPSHOT, b""))
        return sorted(listed.keys() - self.stored.current.keys())
