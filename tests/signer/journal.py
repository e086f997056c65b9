"""An audit log that tests can look into."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from notary_signer.ports import AuditOutcome, Token


class Notes:
    """Implements `ports.Journal`.

    Attributes:
        said: action and outcome of each entry.
        done: set once something was done.
        no_token: where none may be needed.
    """

    no_token = cast(Token, None)

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.done = asyncio.Event()

    async def append(self, action: str, outcome: AuditOutcome = "done", **_about: Any) -> None:
        """See `Journal.append`."""
        self.said.append((action, outcome))
        if outcome == "done":
            self.done.set()
