"""The memory that request bodies take, bounded for all of a process together and for each client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

UNCOUNTED_BYTES: Final = 64 * 1024
"""Of each body. Most publishes are smaller, so those are taken however much the large ones hold; the number of
connections bounds them."""
CLIENTS_SHARE: Final = 2
"""One client may hold the whole divided by this, so that it never shuts out all others."""


class Bodies:
    """Keeps account. For one event loop only."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of all bodies together."""
        self._most = most
        self._all = 0
        self._clients: dict[str, int] = {}

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._all

    @contextmanager
    def hold(self, client: str) -> Iterator[Held]:
        """A place for one body, given back at the end."""
        held = Held(self, client)
        try:
            yield held
        finally:
            held.release()

    def move(self, client: str, by: int) -> bool:
        """Take or give back so many bytes; False, and nothing is taken, if there are not as many."""
        of_client = self._clients.get(client, 0) + by
        if by > 0 and (self._all + by > self._most or of_client > self._most // CLIENTS_SHARE):
            return False
        self._all += by
        if of_client:
            self._clients[client] = of_client
        else:
            self._clients.pop(client, None)
        return True


class Held:
    """What one body takes.

    Attributes:
        refused: there was no room for it.
    """

    def __init__(self, bodies: Bodies, client: str) -> None:
        self._bodies = bodies
        self._client = client
        self._counted = 0
        self.refused = False

    def grow(self, size: int) -> bool:
        """Whether there is room for a body that has grown to `size` bytes; once there is not, there never is."""
        more = max(0, size - UNCOUNTED_BYTES) - self._counted
        if self.refused or not self._bodies.move(self._client, more):
            self.refused = True
            return False
        self._counted += more
        return True

    def release(self) -> None:
        """Give back all it took."""
        self._bodies.move(self._client, -self._counted)
        self._counted = 0
