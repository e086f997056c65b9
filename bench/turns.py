"""Plays the rows: starts the sides that are needed, lets them take turns, and stops them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .figures import Figures
from .goals import MARIADB, NOTARY, Rounds
from .publishing import PublishError, deepen, repository
from .reading import WrkError
from .rows import DEEP, DEEP_NAME, DEEP_VERSIONS, GROWN, STORED, Row
from .sides import Notary, NotaryOnMariadb, Ours, Side, postgres_cluster

Say = Callable[[str], None]
_WARM_UP_SECONDS = 1
"""Before the first turn of each side in a row: connections of pools are opened, code paths are loaded."""


@dataclass(frozen=True)
class Result:
    """A row and all that was measured for it."""

    row: Row
    rounds: Rounds


class Turns:
    """The sides of one run, in a folder that nobody needs afterwards.

    Args:
        folder: an existing, empty directory.
        say: is told what is going on, a line at a time.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._cluster = postgres_cluster(folder)
        self._sides: dict[str, Side] = {}

    def play(self, rows: Sequence[Row], seconds: int, rounds: int) -> Iterator[Result]:
        """Measure the rows one after the other; each result as soon as it is there."""
        try:
            for number, row in enumerate(rows, 1):
                sides = [self._side(name) for name in row.sides]
                measured: dict[str, list[Figures]] = {side.name: [] for side in sides}
                for side in sides if row.warm_up else ():
                    self._say(f"[{number}/{len(rows)}] {row.name}: warming {side.name} up")
                    self._measure(row, side, _WARM_UP_SECONDS)
                for turn in range(1, rounds + 1):
                    for side in sides:
                        self._say(f"[{number}/{len(rows)}] {row.name}: round {turn} of {rounds}, {side.name}")
                        measured[side.name].append(self._measure(row, side, seconds))
                yield Result(row, measured)
                self._stop_all_but({name for later in rows[number:] for name in later.sides})
        finally:
            self._stop_all_but(set())
            self._cluster.close()

    def _measure(self, row: Row, side: Side, seconds: int) -> Figures:
        try:
            figures = row.work(side, seconds)
        except (OSError, WrkError, PublishError) as error:
            figures = Figures(0, problems=(f"{type(error).__name__}: {error}",))
        if not side.alive:
            # The reference can die of concurrent reads. The round has failed, the next one starts afresh.
            figures = replace(figures, problems=("the server or the signer died", *figures.problems))
            side.restart()
        return figures

    def _side(self, name: str) -> Side:
        known = self._sides.get(name)
        if known is None:
            self._say(f"starting {name}")
            known = self._make(name)
            self._sides[name] = known
            known.start()
            self._say(f"filling the database of {name}")
            known.seed(GROWN.get(name, STORED))
            if name == DEEP and isinstance(known, Ours):
                deepen(known, repository(known, DEEP_NAME), DEEP_VERSIONS)
        return known

    def _make(self, name: str) -> Side:
        if name == NOTARY:
            return Notary(name, self._folder)
        if name == MARIADB:
            return NotaryOnMariadb(name, self._folder)
        self._cluster.start()
        return Ours(name, self._folder, self._cluster)

    def _stop_all_but(self, needed: set[str]) -> None:
        for name in set(self._sides) - needed:
            self._sides.pop(name).stop()
