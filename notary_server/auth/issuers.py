"""Whoever issues tokens for this server, with their keys as they are at the moment."""

from __future__ import annotations

from dataclasses import dataclass

from .key_files import KeyFiles
from .key_url import KeyUrl
from .token.keys import KeyRing, merged


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues tokens.

    Attributes:
        name: as tokens say it.
        service: what this server is called in its tokens.
        realm: the address where its tokens can be had.
        files, url: where its keys are; at least one of them.
    """

    name: str
    service: str
    realm: str
    files: KeyFiles
    url: KeyUrl | None = None


class IssuerKeys:
    """The keys of one issuer. They change as a whole: who has a ring has all keys of one moment.

    Attributes:
        ring: all of them; None as long as its only source, an address, was never reached.
    """

    def __init__(self, issuer: Issuer) -> None:
        """Raises: KeyFileError: a file cannot be used."""
        self.issuer = issuer
        self._files = issuer.files.load()
        self.ring: KeyRing | None = None
        self._merge()
        if issuer.url is not None:
            issuer.url.on_change(self._merge)

    @property
    def complete(self) -> bool:
        """Whether every source was read at least once: until then, no key can be called unknown."""
        return self.issuer.url is None or self.issuer.url.ring is not None

    def reload(self) -> bool:
        """Read the files anew; nothing changes if one cannot be used.

        Returns:
            Whether they hold other keys than before.

        Raises:
            KeyFileError: a file cannot be used.
        """
        files = self.issuer.files.load()
        if files == self._files:
            return False
        self._files = files
        self._merge()
        return True

    async def look_early(self) -> bool:
        """Look for new keys where that is possible; whether there are any."""
        return self.issuer.url is not None and await self.issuer.url.look_early()

    async def settle(self) -> None:
        """Wait for keys that are being fetched."""
        if self.issuer.url is not None:
            await self.issuer.url.settle()

    def _merge(self) -> None:
        fetched = self.issuer.url.ring if self.issuer.url is not None else None
        if fetched is not None:
            self.ring = merged((self._files, fetched))
        elif self.issuer.files.paths:
            self.ring = self._files
