"""A file that people edit while the service runs: read again when it has changed, kept as it was if it is broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from notary_common.log import get_logger

from .files import FileProblem

Content = TypeVar("Content")
_Identity = tuple[int, int, int]

_log = get_logger("notary_server.tokens")


class Watched(Generic[Content]):
    """What stands in a file now."""

    def __init__(self, path: Path, load: Callable[[Path], Content]) -> None:
        """Read it.

        Raises:
            FileProblem: from `load`.
        """
        self._path = path
        self._load = load
        self._seen = _identity(path)
        self._content = load(path)

    def current(self) -> Content:
        """Its content, as of the last time that it could be used.

        Looks at the file itself whenever asked: a few microseconds, and no moment at which a user who was removed
        still gets in. A Kubernetes volume swaps a symbolic link, which counts as a change too.
        """
        now = _identity(self._path)
        if now == self._seen:
            return self._content
        # Seen even if it is broken, so that the log says so once and not with each request.
        self._seen = now
        try:
            self._content = self._load(self._path)
        except FileProblem as problem:
            _log.error("a changed file is not used, the old content stays", problems=problem.problems)
        else:
            _log.warning("a changed file is used from now on", file=str(self._path))
        return self._content


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - the same, twice as fast
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
