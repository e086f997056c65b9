"""How a publish is refused: texts that the clients in the field show, short enough and without long hexadecimals.

Clients drop the text of a reply above 1,024 bytes, and an admission controller searches texts for "401".
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, takewhile
from typing import Final

from ..errors import InvalidUpdate, UpdateErrorName, VersionConflict
from .model import FileSummary, NewFile
from .names import ROOT

MAX_TEXT: Final = 420
"""Bytes of a text as JSON spells it, every character outside ASCII escaped. It stands twice in the reply,
beside some 130 bytes of structure."""

_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{16,}")
_HTML: Final = frozenset("<>&")
"""What Go's encoder and others like it escape besides."""


def invalid(name: UpdateErrorName, text: str, missing: str | None = None) -> InvalidUpdate:
    """The refusal of an upload that breaks a rule; `text` is cut to what clients show."""
    return InvalidUpdate(name, bounded(text), missing)


def conflict(file: NewFile, stored: FileSummary) -> VersionConflict:
    """The refusal of a file whose version is not higher than the stored one."""
    remedy = "update and try again" if file.role == ROOT else "run publish again (with docker: sign again)"
    if file.sha256 == stored.sha256:
        text = (
            f"this very file, {file.role} version {file.version}, is published already; nothing was changed"
        )
    elif file.version == stored.version:
        text = f"{file.role} version {file.version} was published by someone else while you were signing; {remedy}"
    else:
        text = (
            f"{file.role} version {file.version} is behind version {stored.version}, which is published "
            f"already; {remedy}"
        )
    return VersionConflict(bounded(text))


def bounded(text: str) -> str:
    """`text` without long hexadecimal strings, cut at `MAX_TEXT`."""
    text = _HEXADECIMAL.sub("...", text)
    costs = accumulate(map(_cost, text))
    fitting = sum(1 for _ in takewhile(lambda total: total <= MAX_TEXT, costs))
    return text if fitting == len(text) else text[:fitting] + "..."


def _cost(character: str) -> int:
    return 6 if character in _HTML else len(json.dumps(character)) - 2
