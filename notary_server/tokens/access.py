"""The access file: who may do what, and whose word for a workload's identity is taken.

Every problem is reported at once, by the place where it stands (`users.0.actions.1`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails

from notary_common.config import ConfigError, Section, kind, load_document, repeated
from notary_common.values import File, Text, one_of, shown, text

from .files import FileProblem
from .grants import ACTIONS, CATALOG, EVERYTHING, PULL, Permission, pattern_problem
from .workload import ClaimRule

OIDC_USER: Final = "oidc"
"""Whoever logs in under this name gives an identity token as the password."""


def _list(item: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    """A validator of lists that are not empty; `item` checks each of its members."""

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            shape = "an empty list" if value == [] else kind(value)
            raise ValueError(f"is {shape}; write a list of strings")
        return tuple(item(one) for one in value)

    return check


def _pattern(value: object) -> str:
    pattern = text(value)
    if (problem := pattern_problem(pattern)) is not None:
        raise ValueError(
            f'holds "{shown(pattern)}", which names no repositories ({problem}); write a whole GUN, one that ends '
            'in a slash for all below it, or "*" for all'
        )
    return pattern


def _claims(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        shape = "an empty object" if value == {} else kind(value)
        raise ValueError(f'is {shape}; write at least one claim, e.g. {{"repository": "org/app"}}')
    return {
        name: (text(wanted),) if isinstance(wanted, str) else _list(text)(wanted)
        for name, wanted in value.items()
    }


def _https(value: object) -> str:
    url = text(value)
    if not url.startswith("https://"):
        raise ValueError(f'is "{shown(url)}"; write an address that begins with https://')
    return url


Actions = Annotated[tuple[str, ...], BeforeValidator(_list(one_of(*ACTIONS)))]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_list(_pattern))]


class Rule(Section):
    """Actions on repositories."""

    repositories: Patterns = ()
    actions: Actions

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.repositories and set(self.actions) != {CATALOG}:
            raise ValueError("has no repositories; write which ones the actions are for")
        return self

    @property
    def permission(self) -> Permission:
        """What it allows."""
        return Permission(self.repositories, frozenset(self.actions))


class AnonymousRule(Rule):
    """What anybody may do, without a name."""

    @model_validator(mode="after")
    def _reading(self) -> Self:
        if set(self.actions) != {PULL}:
            raise ValueError("allows more than pull to people without a name; give them names")
        return self


class UserRule(Rule):
    """What users may do; the name `*` means all of them."""

    names: Annotated[tuple[str, ...], BeforeValidator(_list(text))]


class Issuer(Section):
    """Who vouches for workloads."""

    name: Text
    issuer: Text
    audience: Text
    jwks_url: Annotated[str, BeforeValidator(_https)] | None = None
    jwks_file: File | None = None
    ca_file: File | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs its keys from one place; write jwks_url or jwks_file")
        if self.ca_file is not None and self.jwks_url is None:
            raise ValueError("has a ca_file without a jwks_url; remove it")
        return self


class WorkloadRule(Rule):
    """What workloads may do whose token says all of this."""

    issuer: Text
    claims: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_claims)]


class AccessFile(Section):
    """The whole file."""

    anonymous: tuple[AnonymousRule, ...] = ()
    users: tuple[UserRule, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    workloads: tuple[WorkloadRule, ...] = ()

    @model_validator(mode="after")
    def _known_issuers(self) -> Self:
        names = [issuer.name for issuer in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("issuers: gives a name twice; choose another")
        if len({issuer.issuer for issuer in self.issuers}) != len(names):
            raise ValueError("issuers: gives an issuer twice; keep one, and write further rules for it")
        for place, rule in enumerate(self.workloads):
            if rule.issuer not in names:
                raise ValueError(
                    f'workloads.{place}.issuer: is "{shown(rule.issuer)}", and no issuer has that name'
                )
        return self


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what."""

    anonymous: tuple[Permission, ...]
    users: tuple[UserRule, ...]
    issuers: tuple[Issuer, ...]
    workloads: tuple[ClaimRule, ...]

    def of_user(self, name: str) -> tuple[Permission, ...]:
        """What a user may do."""
        return tuple(rule.permission for rule in self.users if name in rule.names or EVERYTHING in rule.names)


def load_access(path: Path) -> Access:
    """What the file says.

    Raises:
        FileProblem: with everything that is wrong with it.
    """
    try:
        document = load_document(path)
    except ConfigError as error:
        raise FileProblem(path, [problem.removeprefix(f"{path}: ") for problem in error.problems]) from None
    problems = [f"{place}: is given twice; keep one" for place in repeated(document)]
    try:
        found = AccessFile.model_validate(document, context={"base_dir": path.absolute().parent})
    except ValidationError as error:
        problems += [_sentence(detail) for detail in error.errors(include_url=False, include_input=False)]
    if problems:
        raise FileProblem(path, problems)
    rules = tuple(ClaimRule(rule.issuer, rule.claims, rule.permission) for rule in found.workloads)
    return Access(tuple(rule.permission for rule in found.anonymous), found.users, found.issuers, rules)


def _sentence(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    known = {
        "missing": "is missing; write it",
        "extra_forbidden": "is not a known key; remove or correct it",
        "model_type": "is no object; write an object of keys",
        "tuple_type": "is no list; write a list of objects",
    }
    said = known.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return f"{place}: {said}" if place else said
