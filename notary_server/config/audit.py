"""The section `audit`: where the record of every write and refusal goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import NewFile, between


class Audit(Section):
    """The record of every write and refusal."""

    file: NewFile | None = Field(
        default=None,
        description="File that a line of JSON is appended to for each; made if it is not there. Without it they go "
        "to the log, whatever its level.",
    )
    max_bytes: Annotated[int, BeforeValidator(between(1 << 16, 1 << 40))] = Field(
        default=100 << 20,
        description="Size at which the file is turned over to FILE.1, 65536 to 1099511627776.",
    )
    kept_files: Annotated[int, BeforeValidator(between(1, 1000))] = Field(
        default=10, description="Files kept besides the current one, 1 to 1000; older ones are removed."
    )
