"""Users and their passwords, from a file that Apache's `htpasswd -B` keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bcrypt

from .files import FileProblem, read_text

MAX_COST: Final = 16
"""A check at this cost takes seconds; a higher one in the file would keep everybody else waiting."""
_LOWEST: Final = 5
"""Where there are no users at all; what `htpasswd -B` takes by itself."""
MAX_PASSWORD_BYTES: Final = 72
"""What bcrypt looks at; a longer password would be as good as its beginning."""
MAX_NAME_LENGTH: Final = 64

_HASH: Final = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{MAX_NAME_LENGTH - 1}}}", re.ASCII)


class Users:
    """The users of one state of the file."""

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        self._hashes = dict(hashes)
        self._highest = max((_cost(known) for known in hashes.values()), default=_LOWEST)

    @property
    def names(self) -> frozenset[str]:
        """Of all of them."""
        return frozenset(self._hashes)

    def check(self, name: str, password: str) -> bool:
        """Whether it is that user's password. Takes as long for each user and for none; not for the event loop."""
        given = password.encode("utf-8", "surrogateescape")
        # bcrypt refuses longer passwords at once, which would tell them from others.
        looked_at = given[:MAX_PASSWORD_BYTES]
        known = self._hashes.get(name, _nobodys(self._highest))
        same = bcrypt.checkpw(looked_at, known)
        # Each cost takes twice the time of the one below: with these, every check takes as long as the dearest.
        for cost in range(_cost(known), self._highest):
            bcrypt.checkpw(looked_at, _nobodys(cost))
        return same and name in self._hashes and len(given) <= MAX_PASSWORD_BYTES


def _cost(known: bytes) -> int:
    return int(known[4:6])


def _nobodys(cost: int) -> bytes:
    """A hash that no password has, as far as anybody knows."""
    return b"$2b$%02d$" % cost + b"." * 53


def load_users(path: Path) -> Users:
    """The users of a file.

    Raises:
        FileProblem: with every line that cannot be used.
    """
    hashes: dict[str, bytes] = {}
    problems: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, known = line.strip().partition(":")
        problem = _problem(name, known) or ("gives a user twice; keep one" if name in hashes else None)
        if problem is None:
            hashes[name] = known.encode()
        else:
            problems.append(f"line {number} {problem}")
    if problems:
        raise FileProblem(path, problems)
    return Users(hashes)


def _problem(name: str, known: str) -> str | None:
    """What is wrong with a line; never says what stands behind the colon."""
    if _NAME.fullmatch(name) is None:
        return (
            f"begins with no user name of at most {MAX_NAME_LENGTH} letters, digits and ._@+- before a colon; "
            "add users with: htpasswd -B FILE NAME"
        )
    match = _HASH.fullmatch(known)
    if match is None:
        return f"holds no bcrypt hash for {name}; give the user a new password with: htpasswd -B FILE {name}"
    if not 4 <= int(match["cost"]) <= MAX_COST:
        return f"has a cost of {match['cost']} for {name}; at most {MAX_COST} is accepted: htpasswd -B -C 12 FILE {name}"
    return None
