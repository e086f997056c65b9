"""What an address requires, what a token grants, and whether the one covers the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from notary_server.auth.access import Wanted

from .refusal import Reason, Refusal, shown

EVERYTHING: Final = "*"
"""The action that grants all others."""

_ACTIONS: Final = {
    "pull": ("pull",),
    "push": ("pull", "push"),
    "admin": (EVERYTHING,),
    "catalog": (EVERYTHING,),
}
_SIGN: Final = ("pull", "push", "sign")

Grants = Mapping[tuple[str, str], frozenset[str]]
"""Actions by type and name of what they may be done to."""


@dataclass(frozen=True, slots=True)
class Required:
    """Actions on one resource, all of which are needed."""

    type: str
    name: str
    actions: tuple[str, ...]

    @property
    def scope(self) -> str:
        """As token services are asked for it."""
        return f"{self.type}:{self.name}:{','.join(self.actions)}"

    @property
    def detail(self) -> list[object]:
        """As the body of a refusal lists it."""
        return [
            {"Type": self.type, "Class": "", "Name": self.name, "Action": action} for action in self.actions
        ]


def required(wanted: Wanted, sign_prefixes: tuple[str, ...] = ()) -> Required:
    """What a token must grant for a request.

    Args:
        sign_prefixes: beginnings of the names of repositories where publishing takes the action `sign` besides.
    """
    if wanted.level == "catalog":
        return Required("registry", "catalog", _ACTIONS["catalog"])
    signs = wanted.level == "push" and bool(sign_prefixes) and wanted.gun.startswith(sign_prefixes)
    return Required("repository", wanted.gun, _SIGN if signs else _ACTIONS[wanted.level])


def access_refusal(need: Required, grants: Grants) -> Refusal | None:
    """Why these grants do not cover the need; None if they do."""
    had = grants.get((need.type, need.name), frozenset())
    if EVERYTHING in had or had.issuperset(need.actions):
        return None
    missing = ", ".join(action for action in need.actions if action not in had)
    text = f"the token does not grant {missing} on {shown(need.type)} {shown(need.name)}"
    return Refusal(Reason.ACCESS, text, {"scope_had": scopes(grants)})


def scopes(grants: Grants) -> str:
    """All grants in one line, the first ones if there are many."""
    found = [f"{kind}:{name}:{','.join(sorted(actions))}" for (kind, name), actions in grants.items()]
    listed = " ".join(shown(scope) for scope in found[:5])
    return listed + (f" and {len(found) - 5} more" if len(found) > 5 else "")
