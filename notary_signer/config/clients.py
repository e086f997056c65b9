"""The key `clients`: which certificates may do what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, InstanceOf

from notary_common.config import kind
from notary_common.values import gun_prefixes, shown

from ..clients import MATCHERS, OPERATIONS, ClientRule, Operation, is_spiffe_pattern

_MEMBERS: Final = (*MATCHERS, "operations", "gun_prefixes")


def client_rules(value: object) -> tuple[ClientRule, ...]:
    """A list of entries, or that list as JSON (from the environment)."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('is not JSON; write a list such as [{"subject_cn": "...", ...}]') from None
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004 - what pydantic collects
            f"is {kind(value)}; write a list of entries, each an object"
        )
    if not value:
        raise ValueError("is empty, so nobody could use the signer; name its clients, or remove the key")
    rules, problems = [], []
    for number, entry in enumerate(value, 1):
        try:
            rules.append(_rule(entry))
        except ValueError as problem:
            problems.append(f"entry {number} {problem}")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(rules)


def _rule(entry: object) -> ClientRule:
    members = _members(entry)
    named = [matcher for matcher in MATCHERS if matcher in members]
    if len(named) != 1:
        raise ValueError(f"names {len(named)} of {', '.join(MATCHERS)}; write exactly one of them")
    matcher = named[0]
    value = members[matcher]
    if not isinstance(value, str) or not value.isprintable() or not value.strip():
        raise ValueError(f"has a {matcher} that is no name; write a string in quotes")
    if matcher == "spiffe_id" and not is_spiffe_pattern(value):
        raise ValueError(
            f'has the spiffe_id "{shown(value)}"; write spiffe://trust-domain/path, or .../* for all below a path'
        )
    prefixes: tuple[str, ...] = ()
    if "gun_prefixes" in members:
        try:
            prefixes = gun_prefixes(members["gun_prefixes"])
        except ValueError as problem:
            raise ValueError(f"has gun_prefixes that {problem}".replace("that is a", "that are a")) from None
        if not prefixes:
            raise ValueError("has no gun_prefixes in its list; name some, or remove the key to allow all")
    return ClientRule(matcher, value, _operations(members.get("operations")), prefixes)


def _members(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f"is {kind(entry)}; write an object")  # noqa: TRY004
    # A member given twice is still there twice in what the parsers made of it.
    pairs: Iterable[tuple[str, Any]] = getattr(entry, "pairs", entry.items())
    members: dict[str, Any] = {}
    for name, value in pairs:
        key = name.lower()
        if key not in _MEMBERS:
            raise ValueError(
                f'has the unknown key "{shown(name)}"; remove or correct it (known here: {", ".join(_MEMBERS)})'
            )
        if key in members:
            raise ValueError(f"gives {key} twice; keep one (upper and lower case are the same)")
        members[key] = value
    return members


def _operations(value: object) -> frozenset[Operation]:
    words = value.split() if isinstance(value, str) else value
    remedy = f"write a list of {', '.join(OPERATIONS)}"
    if not isinstance(words, list) or not words:
        raise ValueError(f"has no operations; {remedy}")
    unknown = [str(word) for word in words if word not in OPERATIONS]
    if unknown:
        raise ValueError(f'has the unknown operation "{shown(unknown[0])}"; {remedy}')
    return frozenset(words)


ClientRules = Annotated[tuple[InstanceOf[ClientRule], ...], BeforeValidator(client_rules)]
