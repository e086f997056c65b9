"""The section `audit`: where the record of every act is kept."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from notary_common.config import Problem, Section
from notary_common.values import Listen, between, one_of, text

Destination = Literal["log", "file", "database"]

MAX_WRITER = 120
"""Characters; the commands' own chain adds a word to it, and the database's column has 128."""


def _file(value: object, info: ValidationInfo) -> Path:
    base: dict[str, Any] = info.context or {}
    path = Path(base["base_dir"]) / text(value)
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {path.parent}; make it, with mode 0700")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; name another one")
    return path


def _writer(value: object) -> str:
    name = text(value)
    if not name.isascii() or not name.isprintable() or len(name) > MAX_WRITER:
        raise ValueError(f"is no name of 1 to {MAX_WRITER} printable ASCII characters; choose another one")
    return name


class Audit(Section):
    """Where the record of every act is kept."""

    to: Annotated[Destination | None, BeforeValidator(one_of("log", "file", "database"))] = Field(
        default=None,
        description="`file`, `database` (the signer's own), or `log`: a line among the others, which anybody may alter unseen. Without it: `file` if `audit.file` is set, else `log`.",
    )
    file: Annotated[Path | None, BeforeValidator(_file)] = Field(
        default=None,
        description="The file, JSON lines, one for each signer process; made with mode 0600. Its directory must be there.",
    )
    writer: Annotated[str | None, BeforeValidator(_writer)] = Field(
        default=None,
        description="The name of this process's chain of records: unique, and the same after a restart. Without it: host name and address.",
    )
    max_file_bytes: Annotated[int, BeforeValidator(between(1 << 20, 1 << 40))] = Field(
        default=256 << 20,
        description="Bytes after which a file is put aside and a new one begun, 1048576 to 1099511627776; 256 MiB hold half a million records.",
    )

    @property
    def destination(self) -> Destination:
        """Where records go."""
        return self.to or ("log" if self.file is None else "file")

    def writer_name(self, address: Listen | None) -> str:
        """The name of the chain of a signer that listens on `address`, if that is known."""
        return self.writer or f"{socket.gethostname()}/{address or ''}"[:MAX_WRITER]


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    to, file = raw.get("audit.to"), raw.get("audit.file")
    if to == "file" and file is None:
        return [Problem("audit.file", "is missing beside audit.to; name the file to write to")]
    if to in {"log", "database"} and file is not None:
        return [Problem("audit.file", f'is set beside "audit.to": "{to}"; keep one of the two')]
    return []
