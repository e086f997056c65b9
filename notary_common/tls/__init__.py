"""TLS of both daemons: contexts, the material they are made of, and taking new material while they run."""

from __future__ import annotations

from .contexts import (
    authority_problem,
    client_context,
    date_problem,
    make_client,
    make_server,
    pair_problem,
    server_context,
)
from .material import Material, PemFiles, Source, TlsError, Validity
from .reloading import ReloadingContext, Watched

__all__ = [
    "Material",
    "PemFiles",
    "ReloadingContext",
    "Source",
    "TlsError",
    "Validity",
    "Watched",
    "authority_problem",
    "client_context",
    "date_problem",
    "make_client",
    "make_server",
    "pair_problem",
    "server_context",
]
