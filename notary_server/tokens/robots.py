"""Robots: names with long random secrets for machines, limited to repositories and actions, kept in a file of their own.

Of a secret only the SHA-256 is stored. It is 256 random bits, so that a slow hash would protect nothing: there is
nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from .files import FileProblem, read_text, write_whole
from .grants import Permission

SECRET_PREFIX: Final = "ntr_"  # noqa: S105 - what all of them begin with
"""Lets secret scanners find one that leaked, and this service tell it from a user's password before it looks anybody up."""
ROBOT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
"""What may also be the name of a delegation: docker signs as whoever is logged in."""
_NOBODY: Final = "0" * 64


class Robot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine that may ask for tokens.

    Attributes:
        secret_sha256: hexadecimal, of the whole secret.
        expires: from then on it is refused; None: never.
    """

    name: str
    secret_sha256: str
    repositories: tuple[str, ...]
    actions: tuple[str, ...]
    created: datetime
    expires: datetime | None = None

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What it may do."""
        return (Permission(self.repositories, frozenset(self.actions)),)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    robots: tuple[Robot, ...] = ()


@dataclass(frozen=True, slots=True)
class Robots:
    """All robots of one state of the file, by name."""

    by_name: dict[str, Robot]

    def check(self, name: str, secret: str, now: datetime) -> Robot | str:
        """The robot with that name and secret, or why there is none.

        Takes as long whether or not the name exists.
        """
        robot = self.by_name.get(name)
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        same = hmac.compare_digest(digest, _NOBODY if robot is None else robot.secret_sha256)
        if robot is None:
            return "no such robot"
        if not same:
            return "not the robot's secret"
        if robot.expires is not None and now >= robot.expires:
            return "the robot has expired"
        return robot


def new_robot(
    name: str,
    repositories: Iterable[str],
    actions: Iterable[str],
    created: datetime,
    expires: datetime | None,
) -> tuple[Robot, str]:
    """A robot, and its secret, which nothing but the caller will ever know."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return Robot(name, digest, tuple(repositories), tuple(actions), created, expires), secret


def load_robots(path: Path) -> Robots:
    """The robots of a file; none if it is not there yet.

    Raises:
        FileProblem: it cannot be used.
    """
    if not path.exists():
        return Robots({})
    try:
        found = msgspec.json.decode(read_text(path), type=_File).robots
    except (msgspec.MsgspecError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise FileProblem(path, [f"is no file of robots ({reason}); restore it from a copy"]) from None
    by_name = {robot.name: robot for robot in found}
    if len(by_name) != len(found):
        raise FileProblem(path, ["gives a robot twice; keep one"])
    if any(robot.expires is not None and robot.expires.tzinfo is None for robot in found):
        raise FileProblem(path, ["holds a time without a zone; end it in Z"])
    return Robots(by_name)


def store_robots(path: Path, robots: Iterable[Robot]) -> None:
    """Write the file anew, whole or not at all, readable by its owner alone.

    Raises:
        FileProblem: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(_File(tuple(robots))), indent=2) + b"\n"
    write_whole(path, data)
