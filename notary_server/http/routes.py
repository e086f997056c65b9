"""The whole table of addresses, and how a request finds its row (docs/reference/protocol.md, 1)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from notary_server.auth.access import Level
from notary_server.tuf10.names import ROLE_PATTERN

from . import handlers
from .answer import Answer
from .call import Call

MAX_FILE_PATH: Final = 1024
"""Characters of a decoded path that can name a file or key: GUN and role have 255 at most, a digest 128. Patterns that
look for a role try every `/_trust/` of a path, which takes time that grows with the square of its length."""

_GUN: Final = r"/v2/(?P<gun>[^*]+)"
_TUF: Final = _GUN + r"/_trust/tuf/"
_ROLE: Final = r"(?P<role>root|targets(?:/[^/\t\n\f\r ]+)*|snapshot|timestamp)"
_KEY: Final = r"(?P<role>snapshot|timestamp)"
_DIGEST: Final = r"(?P<selector>[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})"
_VERSION: Final = r"(?P<selector>[0-9]+)"
_STANDARD_ROLE: Final = rf"(?P<role>{ROLE_PATTERN})"
"""A role of a TUF 1.0 repository, whose names are freer."""


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row: a method, a pattern of the whole decoded path, who answers (or the answer), what the sender must be
    allowed to do (None: nothing), its name in the metrics.

    Patterns are greedy, so the last `/_trust/` of a path is the one that counts: a GUN may hold one itself.
    """

    method: str
    pattern: re.Pattern[str]
    answer: Handler | Answer
    level: Level | None = None
    operation: str | None = None


def _route(
    method: str,
    pattern: str,
    answer: Handler | Answer,
    level: Level | None = None,
    operation: str | None = None,
) -> Route:
    return Route(method, re.compile(pattern, re.ASCII), answer, level, operation)


# The first row that fits counts: a checksum before a version before a role of that spelling.
ROUTES: Final = (
    _route("GET", r"/v2/", handlers.PING, "catalog"),
    _route("POST", _TUF, handlers.update, "push", "UpdateTUF"),
    _route(
        "GET", _TUF + _ROLE + r"\." + _DIGEST + r"\.json", handlers.file_by_checksum, "pull", "GetRoleByHash"
    ),
    _route(
        "GET",
        _TUF + _VERSION + r"\." + _ROLE + r"\.json",
        handlers.file_by_version,
        "pull",
        "GetRoleByVersion",
    ),
    _route("GET", _TUF + _ROLE + r"\.json", handlers.current_file, "pull", "GetRole"),
    _route("GET", _TUF + _KEY + r"\.key", handlers.key, "push", "GetKey"),
    _route("POST", _TUF + _KEY + r"\.key", handlers.rotated_key, "admin", "RotateKey"),
    _route(
        "GET",
        _TUF + _VERSION + r"\." + _STANDARD_ROLE + r"\.json",
        handlers.file_by_version,
        "pull",
        "GetRoleByVersion",
    ),
    _route("GET", _TUF + _KEY + r"\.key\.json", handlers.standard_key, "push", "GetKey"),
    _route("POST", _TUF + _KEY + r"\.key\.json", handlers.rotated_standard_key, "admin", "RotateKey"),
    _route("GET", _GUN + r"/_trust/targets/(?P<selector>(?s:.+))", handlers.target_file, "pull"),
    _route("DELETE", _TUF, handlers.delete, "admin", "DeleteTUF"),
    _route("GET", _GUN + r"/_trust/changefeed", handlers.changes, "pull", "Changefeed"),
    _route("GET", r"/v2/_trust/changefeed", handlers.changes, "catalog", "Changefeed"),
    _route("GET", r"/_notary_server/health", handlers.health),
    _route("GET", r"/metrics", handlers.metrics),
)

UNKNOWN_LEVEL: Final[Level] = "catalog"
"""What an unknown address asks for: who may not look around learns nothing."""
KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
"""Methods that an unknown address answers 404; others are answered 405 everywhere."""


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The row for a decoded, clean path, and what its pattern names; None if there is none."""
    for route in ROUTES:
        if route.method == method and (len(path) <= MAX_FILE_PATH or "role" not in route.pattern.groupindex):
            match = route.pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
    return None
