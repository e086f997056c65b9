"""The section `auth`: who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Problem, Section
from notary_common.values import Flag, Text, shown, text


def _auth_type(value: object) -> str:
    word = text(value)
    if word == "token":
        raise ValueError(
            '"token" is refused: this version cannot check tokens yet. Remove auth to let everybody in, and put '
            "a proxy that authenticates in front of it"
        )
    raise ValueError(f'"{shown(word)}" is not known; remove auth to let everybody in')


class AuthOptions(Section):
    """Whose tokens are believed."""

    realm: Text | None = Field(default=None, description="Address of the token service.")
    service: Text | None = Field(default=None, description="This server's name in tokens.")
    issuer: Text | None = Field(default=None, description="Name of the token service in tokens.")
    rootcertbundle: Text | None = Field(
        default=None, description="PEM file of the certificates that vouch for tokens."
    )
    autoredirect: Flag = Field(
        default=False, description="Whether the realm follows the request's Host header."
    )


class Auth(Section):
    """Who may do what."""

    type: Annotated[str, BeforeValidator(_auth_type)] | None = Field(
        default=None,
        description="Absent: everybody may do everything. `token` is refused until this version can check tokens; "
        "any other value is refused too.",
    )
    options: AuthOptions = AuthOptions()


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    # An empty type says "nobody is checked"; options without one are more likely a type that got lost.
    if "auth.type" in raw or not any(key.startswith("auth.options.") for key in raw):
        return []
    return [
        Problem(
            "auth.type",
            'is missing beside auth.options; remove auth, or set auth.type to "", to let everybody in',
        )
    ]
