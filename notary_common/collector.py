"""Python's garbage collector in a daemon: left out of what stays, and called less often."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""New objects before a collection, and collections before the next older generation is looked at too. Requests leave
no cycles behind; with Python's own thresholds their objects have everything searched hundreds of times a second."""


def settle() -> None:
    """Call when everything is imported and opened: what there is now will not be searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
