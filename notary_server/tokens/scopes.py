"""Scopes as clients write them: `repository:registry.example.org:5000/team/app:pull,push`.

The grammar is the distribution specification's (token scope documentation), with names as Notary takes them: a GUN
begins with a host and perhaps a port, so a name may hold colons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from notary_server.tuf.names import gun_problem

MAX_SCOPES: Final = 32
"""Resources in one request. Clients ask for one, and for one more for each repository that layers come from."""
MAX_SCOPE_LENGTH: Final = 512
"""Characters of one scope: a GUN of 255, and actions."""

_TYPE: Final = re.compile(r"(?P<kind>[a-z0-9]+)(?:\((?P<part>[a-z0-9]+)\))?", re.ASCII)
_ACTIONS: Final = re.compile(r"(?:[a-z]{1,32}|\*)(?:,(?:[a-z]{1,32}|\*))*", re.ASCII)


class ScopeError(ValueError):
    """A scope cannot be understood; the text says why, without repeating it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one resource, asked for or granted.

    Attributes:
        kind: `repository`, `registry`, or what nobody here has.
        part: the class in parentheses, such as `plugin`; mostly empty.
        name: as it was written.
    """

    kind: str
    part: str
    name: str
    actions: frozenset[str]

    def __str__(self) -> str:
        kind = f"{self.kind}({self.part})" if self.part else self.kind
        return f"{kind}:{self.name}:{','.join(sorted(self.actions))}"


def parse_scopes(values: Iterable[str]) -> tuple[Scope, ...]:
    """The resources that a request asks for, each once, with all actions that it names for it.

    Args:
        values: of the parameters `scope`; each may hold several, separated by blanks.

    Raises:
        ScopeError: one of them is malformed, or there are too many.
    """
    asked: dict[tuple[str, str, str], frozenset[str]] = {}
    for word in _words(values):
        scope = _parse(word)
        key = (scope.kind, scope.part, scope.name)
        asked[key] = asked.get(key, frozenset()) | scope.actions
    if len(asked) > MAX_SCOPES:
        raise ScopeError(f"more than {MAX_SCOPES} scopes are asked for at once")
    return tuple(Scope(*key, actions) for key, actions in asked.items())


def _words(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (word for word in value.split(" ") if word)


def _parse(word: str) -> Scope:
    if len(word) > MAX_SCOPE_LENGTH:
        raise ScopeError(f"a scope is longer than {MAX_SCOPE_LENGTH} characters")
    head, _, rest = word.partition(":")
    # The name may hold colons of its own: what follows the last one is actions.
    name, colon, actions = rest.rpartition(":")
    kind = _TYPE.fullmatch(head)
    if kind is None or not colon or _ACTIONS.fullmatch(actions) is None:
        raise ScopeError("a scope is not of the form type:name:action,action")
    if (problem := gun_problem(name)) is not None:
        raise ScopeError(f"in a scope {problem}")
    if not name.isprintable():
        raise ScopeError("a scope holds characters that cannot be printed")
    return Scope(kind["kind"], kind["part"] or "", name, frozenset(actions.split(",")))
