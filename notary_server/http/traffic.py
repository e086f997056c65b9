"""What all connections of a server share: the services, the numbering of requests, whether it is stopping."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from .bodies import Bodies
from .call import Services
from .unread import Unread

_LETTERS: Final = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[number % 32] for number in range(256))
"""A letter for each byte. Neither 0 nor 1 is among them, so no ID holds a "401" that an admission controller would
take for a status."""
_BLOCK: Final = 256
"""Request IDs made at once: the random bytes of one cost as much as those of many."""


class Traffic:
    """The state of a server that its connections see.

    Attributes:
        stopping: whether every answer must be the last of its connection.
        bodies: the memory that request bodies take.
        unread: that of answers which clients do not read.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.stopping = False
        self.bodies = Bodies(services.settings.max_buffered_bytes)
        self.unread = Unread(services.settings.max_unread_bytes)
        self.new_request_id = _request_ids().__next__


def _request_ids() -> Iterator[str]:
    """Sixteen letters and digits each, of 80 random bits."""
    while True:
        block = secrets.token_bytes(16 * _BLOCK).translate(_LETTERS).decode()
        for start in range(0, len(block), 16):
            yield block[start : start + 16]
