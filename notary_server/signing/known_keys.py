"""Keys that the signer said it holds: what was said of a key ID never changes, but whether it is still held may."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from ..tuf.model import HeldKey
from ..tuf.names import KeyId

MAX_KNOWN: Final = 16_384
"""Keys remembered, of 8,000 repositories: a kilobyte each at most. Of others the signer is asked."""


class KnownKeys:
    """The keys used last, by ID. Nothing is remembered of keys that are not held."""

    def __init__(self, maximum: int = MAX_KNOWN) -> None:
        self._maximum = maximum
        self._keys: OrderedDict[KeyId, HeldKey] = OrderedDict()

    def among(self, key_ids: Iterable[KeyId]) -> dict[KeyId, HeldKey]:
        """Those of `key_ids` that are remembered."""
        found = {}
        for key_id in key_ids:
            key = self._keys.get(key_id)
            if key is not None:
                self._keys.move_to_end(key_id)
                found[key_id] = key
        return found

    def remember(self, key: HeldKey) -> None:
        """Keep `key`; beyond the bound the one goes that was used longest ago."""
        self._keys[key.key_id] = key
        self._keys.move_to_end(key.key_id)
        if len(self._keys) > self._maximum:
            self._keys.popitem(last=False)

    def forget(self, key_ids: Iterable[KeyId]) -> None:
        """Ask the signer of these again."""
        for key_id in key_ids:
            self._keys.pop(key_id, None)
