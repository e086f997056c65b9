"""PURE: what is granted of what was asked for, by the permissions of whoever asks.

One name, one rule. The registry calls a repository `team/app` that is the GUN `registry.example.org/team/app` to
Notary, and one token serves both, so a name without a host is read as one below the registry's host. Whether a name
begins with a host is decided as docker decides it; so no name can be taken for another that somebody else owns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from notary_server.tuf.names import gun_problem

from .scopes import Scope

PULL: Final = "pull"
PUSH: Final = "push"
SIGN: Final = "sign"
ADMIN: Final = "admin"
CATALOG: Final = "catalog"
ACTIONS: Final = (PULL, PUSH, SIGN, ADMIN, CATALOG)
"""What a rule may allow: to read, to push images, to publish trust data, everything including rotation and
deletion, to list all repositories."""

EVERYTHING: Final = "*"
"""As a pattern: every repository. As an action in a scope: everything that can be done."""

_ADMINISTERED: Final = frozenset({PULL, PUSH, SIGN, "delete", EVERYTHING})
"""Actions in scopes that `admin` allows; `delete` is how the registry calls what Notary calls `*`."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Actions on some repositories.

    Attributes:
        repositories: whole GUNs; those that end in a slash stand for all below; `*` for all.
        actions: of `ACTIONS`.
    """

    repositories: tuple[str, ...]
    actions: frozenset[str]

    def covers(self, gun: str, registry: str | None) -> bool:
        """Whether it speaks of this repository; patterns without a host are read as names without one are."""
        return any(_matches(pattern, gun, registry) for pattern in self.repositories)


def _matches(pattern: str, gun: str, registry: str | None) -> bool:
    if pattern == EVERYTHING:
        return True
    whole = full_name(pattern, registry)
    return gun.startswith(whole) if whole.endswith("/") else gun == whole


def full_name(name: str, registry: str | None) -> str:
    """The GUN of what a scope calls `name`.

    Args:
        registry: host, and port if not 443, of the registry that uses the same tokens; None if there is none.
    """
    first, slash, _ = name.partition("/")
    has_host = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    return name if has_host or registry is None else f"{registry}/{name}"


def pattern_problem(pattern: str) -> str | None:
    """Why `pattern` cannot stand for repositories, or None if it can."""
    if pattern == EVERYTHING:
        return None
    if not pattern.isprintable() or " " in pattern:
        return "it holds blanks or characters that cannot be printed"
    return gun_problem(pattern.removesuffix("/"))


def granted(
    asked: Iterable[Scope], permissions: Iterable[Permission], registry: str | None
) -> tuple[Scope, ...]:
    """What is granted of what was asked for; resources of which nothing is granted are left out.

    No client knows the action `sign`: they ask for `push` when they publish. Who asks for `push` is granted `sign`
    along with it where that is allowed.
    """
    held = tuple(permissions)
    found = []
    for scope in asked:
        allowed = _allowed(scope, held, registry)
        wanted = (
            scope.actions | {SIGN} if PUSH in scope.actions and scope.kind == "repository" else scope.actions
        )
        if actions := wanted & allowed:
            found.append(Scope(scope.kind, scope.part, scope.name, actions))
    return tuple(found)


def _allowed(scope: Scope, permissions: tuple[Permission, ...], registry: str | None) -> frozenset[str]:
    """All actions in scopes that these permissions allow on the resource."""
    if scope.kind == "registry" and scope.name == "catalog":
        listing = any(CATALOG in permission.actions for permission in permissions)
        return frozenset({EVERYTHING}) if listing else frozenset()
    if scope.kind != "repository":
        return frozenset()
    gun = full_name(scope.name, registry)
    held = frozenset[str]().union(*(one.actions for one in permissions if one.covers(gun, registry)))
    return _ADMINISTERED if ADMIN in held else held & {PULL, PUSH, SIGN}
