"""The memory of answers that clients do not read, bounded for all of a process together and for each client."""

from __future__ import annotations

from typing import Final

from notary_common.guests import Guest

PIECE_BYTES: Final = 64 * 1024
"""Handed on at once. What was handed on cannot be counted: TLS does not tell how much of it is left."""
CLIENTS_SHARE: Final = 2
"""What waits for one client may have the whole divided by this."""


class Unread:
    """Keeps account; whoever has read nothing for longest goes when there is too much. For one event loop only."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of all answers together. One that is larger waits if it is alone."""
        self._most = most
        self._all: dict[Guest, int] = {}
        self._clients: dict[str, dict[Guest, int]] = {}

    @property
    def held(self) -> int:
        """Bytes that wait now."""
        return sum(self._all.values())

    def wait(self, guest: Guest, size: int) -> None:
        """From now on so many bytes wait for `guest` to read."""
        self.forget(guest)
        self._all[guest] = size
        of_client = self._clients.setdefault(guest.client, {})
        of_client[guest] = size
        if guest.client:
            self._make_room(of_client, self._most // CLIENTS_SHARE)
        self._make_room(self._all, self._most)

    def forget(self, guest: Guest) -> None:
        """It has read, or left; nothing if it did not wait."""
        of_client = self._clients.get(guest.client, {})
        if self._all.pop(guest, None) is not None:
            del of_client[guest]
            if not of_client:
                del self._clients[guest.client]

    def _make_room(self, waiting: dict[Guest, int], most: int) -> None:
        while len(waiting) > 1 and sum(waiting.values()) > most:
            slowest = next(iter(waiting))
            self.forget(slowest)
            slowest.dismiss()
