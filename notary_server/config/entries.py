"""Lists of objects in the configuration: each entry a section of its own, whose problems name its place."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError, ValidationInfo

from notary_common.config import Section, kind
from notary_common.values import shown

Entry = TypeVar("Entry", bound=Section)


def entries(
    value: object, info: ValidationInfo, model: type[Entry], maximum: int, wanted: str
) -> list[tuple[str, Entry]]:
    """The entries with their places in words; in the environment the list is written as JSON.

    Args:
        wanted: what an entry is to be, for people: `an object with issuer and its keys`.

    Raises:
        ValueError: one of them cannot be used.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("is not JSON; write a list of objects") from None
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004 - what pydantic collects
            f"is {kind(value)}; write a list of objects"
        )
    if len(value) > maximum:
        raise ValueError(f"has {len(value)} entries; write {maximum} at most")
    return [
        (f"entry {number}", _entry(one, f"entry {number}", info, model, wanted))
        for number, one in enumerate(value, 1)
    ]


def _entry(one: object, place: str, info: ValidationInfo, model: type[Entry], wanted: str) -> Entry:
    if not isinstance(one, dict):
        raise ValueError(f"{place} is {kind(one)}; write {wanted}")  # noqa: TRY004
    members = {str(key).lower(): value for key, value in one.items() if value not in (None, "")}
    try:
        return model.model_validate(members, context=info.context)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key, said = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}, {shown(key)}: {said}") from None
