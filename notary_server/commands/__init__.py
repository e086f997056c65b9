"""The commands besides `serve`, a file for each group."""

from __future__ import annotations

from typing import Final

PROGRAM: Final = "notary-server"
