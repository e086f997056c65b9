"""What worker processes are started with: decided in the master before the fork, the same for a whole generation."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from notary_common.tls import ReloadingContext
from notary_server.config import ServerConfig


@dataclass(frozen=True)
class Plan:
    """A configuration that was checked whole.

    Attributes:
        tls: one context for all workers: a session that one of them began, every other resumes. Each takes renewed
            certificates by itself. None: plain HTTP, or certificates that only a worker itself can get.
    """

    config: ServerConfig
    tls: ReloadingContext | None


@dataclass(frozen=True)
class Place:
    """What outlives a generation.

    Attributes:
        address: for people, e.g. `https://localhost:4443`.
        management: the sockets for probes and metrics, which whichever worker is free answers; may be none.
        shared: a directory of the master's own, in which workers keep what master and other workers look at.
    """

    address: str
    shared: Path
    management: tuple[socket.socket, ...]
