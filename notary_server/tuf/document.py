"""One file, received or stored: its bytes, and what they turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from ..errors import MalformedJson
from . import parse
from .generate import describe
from .model import FileMeta, Parsed, Root, Snapshot, Targets
from .names import RoleName
from .parse import DEFAULT_LIMITS, Limits, ParseError, Reading


@dataclass(frozen=True, slots=True)
class Findings:
    """All that deciding needs to know of a file: what it says, and how a snapshot lists it."""

    reading: Reading
    meta: FileMeta


def examine(role: RoleName, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Findings:
    """Read and hash a file: all that takes long if it is large. Never raises."""
    return Findings(parse.read(role, data, limits), describe(data))


class Document:
    """A file of a role. Never changes; it is examined once, when that is first needed.

    Attributes:
        role: a valid role name; the file is read as one of that role.
        data: the bytes exactly as received.
    """

    def __init__(
        self,
        role: RoleName,
        data: bytes,
        findings: Findings | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """`findings` are those of `examine` for the same arguments, where they are known already."""
        self.role = role
        self.data = data
        self._limits = limits
        if findings is not None:
            self._findings = findings

    @cached_property
    def _findings(self) -> Findings:
        return examine(self.role, self.data, self._limits)

    @property
    def meta(self) -> FileMeta:
        """How a snapshot or timestamp lists the file."""
        return self._findings.meta

    def check(self) -> None:
        """Raises: MalformedJson: as `parse.check_part` does."""
        if self._findings.reading.malformed is not None:
            raise MalformedJson(self._findings.reading.malformed)

    def root(self) -> Parsed[Root]:
        """The file, whose role is root. Raises: ParseError."""
        return cast(Parsed[Root], self._parsed())

    def targets(self) -> Parsed[Targets]:
        """The file, whose role is targets or a delegation. Raises: ParseError."""
        return cast(Parsed[Targets], self._parsed())

    def snapshot(self) -> Parsed[Snapshot]:
        """The file, whose role is snapshot. Raises: ParseError."""
        return cast(Parsed[Snapshot], self._parsed())

    def _parsed(self) -> object:
        reading = self._findings.reading
        if reading.problem is not None:
            raise ParseError(reading.problem)
        return reading.parsed


def by_role(files: dict[RoleName, bytes]) -> dict[RoleName, Document]:
    """Files as the store returns them."""
    return {role: Document(role, data) for role, data in files.items()}
