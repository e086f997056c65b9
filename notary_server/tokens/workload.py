"""PURE: what a workload may do, by the claims of its identity token, once that has been verified."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .grants import Permission


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """What tokens of one issuer must say for a permission.

    Attributes:
        issuer: the name that the access file gives it.
        claims: by claim, the patterns of which one must fit. All claims count, and there is at least one.
    """

    issuer: str
    claims: Mapping[str, tuple[str, ...]]
    permission: Permission

    def fits(self, issuer: str, claims: Mapping[str, object]) -> bool:
        """Whether a token of `issuer` with these claims is meant."""
        return issuer == self.issuer and all(
            any(_fits(pattern, claims.get(claim)) for pattern in patterns)
            for claim, patterns in self.claims.items()
        )


def permissions(
    rules: Iterable[ClaimRule], issuer: str, claims: Mapping[str, object]
) -> tuple[Permission, ...]:
    """What all rules together allow."""
    return tuple(rule.permission for rule in rules if rule.fits(issuer, claims))


def _fits(pattern: str, value: object) -> bool:
    """Whether a claim's value is what the pattern says, from its first to its last character.

    A star stands for one or more characters, but for no slash and no colon: these separate the parts of a subject, and
    who may choose one part, such as the name of a branch, must not be able to write the others with it.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str):
        return False
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch("[^/:]+".join(parts), value) is not None
