"""What a request needs, who sends it, and whoever decides whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..tuf.names import Gun

Level = Literal["pull", "push", "admin", "catalog"]
"""What an address asks for: to read a repository, to publish to it, to rotate its keys or delete it, to see all
repositories (docs/reference/protocol.md, 16)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request needs.

    Attributes:
        gun: the repository, decoded and checked: the very name that is served. Empty at level `catalog`.
    """

    level: Level
    gun: Gun


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, as far as anybody checked.

    Attributes:
        name: the subject of the token, or of the client's certificate; empty for nobody in particular.
        issuer: who vouches for that name; empty for a certificate's, and if nobody does.
    """

    name: str = ""
    issuer: str = ""


ANONYMOUS: Final = Identity()


class AccessController(Protocol):
    """Decides about each request before its handler runs."""

    @property
    def guarded(self) -> bool:
        """Whether anything may ever be refused. If not, answers that need no work are given without asking."""

    async def authorize(self, wanted: Wanted, headers: Mapping[str, str]) -> Identity:
        """Who sends the request, if that is enough for what it wants.

        Args:
            headers: by lower-case name.

        Raises:
            notary_server.errors.Unauthorized: it is not; says what would be.
            notary_server.errors.Unavailable: that cannot be told right now.
        """


class Everybody:
    """Implements `AccessController` where `auth` is not configured: nobody is asked who they are."""

    guarded: Final = False

    async def authorize(self, wanted: Wanted, headers: Mapping[str, str]) -> Identity:
        """See `AccessController.authorize`."""
        return ANONYMOUS
