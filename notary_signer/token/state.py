"""In a word, what the token is doing: for health, metrics and logs."""

from __future__ import annotations

from typing import Final, Literal, get_args

TokenState = Literal["starting", "ready", "busy", "lost", "refused", "hung", "closed"]
"""
`starting`: not opened yet. `ready`: it works. `busy`: the running call takes long, or as many calls wait as may.
`lost`: it is gone, or its session is, and it is tried again with growing pauses. `refused`: it refused the PIN, or
is locked; it waits for a person. `hung`: a call did not return, so the process that made it was ended, and a new
one is being started. `closed`: the signer is shutting down.
"""

STATES: Final[tuple[TokenState, ...]] = get_args(TokenState)
