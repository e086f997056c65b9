"""The section `auth`: who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, ValidationInfo

from notary_common.config import Problem, Section, kind
from notary_common.values import (
    LOOPBACK,
    File,
    Flag,
    Text,
    WorkingFile,
    between,
    duration,
    gun_prefixes,
    shown,
    text,
    web_address,
)

from ..auth.token.algorithms import ALGORITHMS, DEFAULT_ALGORITHMS
from .entries import entries

MAX_ISSUERS: Final = 20
"""Token services that one server believes; a list that is longer is a mistake."""
_KEYS: Final = ("rootcertbundle", "jwks_file", "jwks_url")


def _auth_type(value: object) -> str:
    word = text(value)
    if word == "token":
        return word
    raise ValueError(f'"{shown(word)}" is not known; write token, or remove auth to let everybody in')


def _realm(value: object) -> str:
    address = text(value)
    if not address.isprintable() or any(c in address for c in '"\\ '):
        raise ValueError("holds a character that no address has; write the address of the token service")
    return address


def _jwks_url(value: object) -> str:
    address, scheme, host = web_address(value, "https://host/path")
    if scheme == "http" and host not in LOOPBACK:
        raise ValueError(
            "is plain http, over which anybody on the way can hand out keys; write https:// (with jwks_ca_file for "
            "a CA of your own), or use jwks_file"
        )
    return address


def _algorithms(value: object) -> tuple[str, ...]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'is {kind(value)}; write a list of strings, e.g. ["ES256", "RS256"]')
    if bad := [f'"{shown(word)}"' for word in words if word not in ALGORITHMS]:
        raise ValueError(f"{', '.join(bad)} cannot be allowed; choose among {', '.join(ALGORITHMS)}")
    return tuple(words)


def _prefixes(value: object) -> tuple[str, ...]:
    """As `gun_prefixes`; a star alone stands for all repositories."""
    words = value.split() if isinstance(value, str) else value
    return ("",) if words == ["*"] else gun_prefixes(value)


Realm = Annotated[str, BeforeValidator(_realm)]
JwksUrl = Annotated[str, BeforeValidator(_jwks_url)]
Prefixes = Annotated[tuple[str, ...], BeforeValidator(_prefixes)]


class IssuerOptions(Section):
    """One more token service."""

    issuer: Text
    service: Text | None = None
    realm: Realm | None = None
    rootcertbundle: WorkingFile | None = None
    jwks_file: File | None = None
    jwks_url: JwksUrl | None = None
    jwks_ca_file: File | None = None


def _issuers(value: object, info: ValidationInfo) -> tuple[IssuerOptions, ...]:
    listed = entries(value, info, IssuerOptions, MAX_ISSUERS, "an object with issuer and its keys")
    for place, one in listed:
        if not any(getattr(one, key) for key in _KEYS):
            raise ValueError(f"{place} names no keys; set one of {', '.join(_KEYS)}")
        if one.jwks_ca_file is not None and one.jwks_url is None:
            raise ValueError(f"{place}: jwks_ca_file stands without jwks_url; set both or remove it")
    found = tuple(one for _, one in listed)
    names = [one.issuer for one in found]
    if len(set(names)) != len(names):
        raise ValueError("names one issuer twice; give all its keys in one entry")
    return found


class AuthOptions(Section):
    """Whose tokens are believed."""

    realm: Realm | None = Field(
        default=None, description="Address of the token service, as clients reach it. Required."
    )
    service: Text | None = Field(
        default=None, description="This server's name in tokens, their `aud`. Required."
    )
    issuer: Text | None = Field(
        default=None,
        description="Name of the token service in tokens, their `iss`. Required without `issuers`.",
    )
    rootcertbundle: WorkingFile | None = Field(
        default=None,
        description="PEM file of the certificates that vouch for tokens. A relative path starts at the working "
        "directory, as it did for Notary. This, `jwks_file` or `jwks_url` is required beside `issuer`.",
    )
    autoredirect: Flag = Field(
        default=False,
        description="Whether challenges name `https://HOST/auth/token` with the request's Host header instead of "
        "`realm`.",
    )
    jwks_file: File | None = Field(default=None, description="JSON Web Key Set with the keys of `issuer`.")
    jwks_url: JwksUrl | None = Field(
        default=None,
        description="`https` address of such a set, fetched again and again; `http` for the loopback interface "
        "only.",
    )
    jwks_ca_file: File | None = Field(
        default=None,
        description="CA of `jwks_url`, PEM, read anew at each look. Without it: those the system trusts.",
    )
    jwks_refresh: Annotated[float, BeforeValidator(duration(10, 86400))] = Field(
        default=300.0,
        description="Seconds between two looks at the addresses of key sets, 10 to 86400. An unknown key causes one "
        "at once.",
    )
    issuers: Annotated[tuple[IssuerOptions, ...], BeforeValidator(_issuers)] = Field(
        default=(),
        description="More token services: a list of objects with `issuer`, one or more of `rootcertbundle`, "
        "`jwks_file` and `jwks_url` (with `jwks_ca_file`), and `realm` and `service` where they differ. In the "
        "environment: as JSON.",
    )
    algorithms: Annotated[tuple[str, ...], BeforeValidator(_algorithms)] = Field(
        default=(),
        description=f"Signature algorithms that are taken, among {', '.join(ALGORITHMS)}. Empty: "
        f"{', '.join(DEFAULT_ALGORITHMS)}. In the environment: separated by blanks.",
    )
    leeway: Annotated[int, BeforeValidator(between(0, 300))] = Field(
        default=60,
        description="Seconds by which the clocks of token service and server may differ, 0 to 300.",
    )


class Auth(Section):
    """Who may do what."""

    type: Annotated[str, BeforeValidator(_auth_type)] | None = Field(
        default=None,
        description="`token`: whoever has a token of a believed token service. Absent: everybody may do everything. "
        "Any other value is refused.",
    )
    options: AuthOptions = AuthOptions()
    anonymous_pull: Prefixes = Field(
        default=(),
        description="Repositories that anybody may read without a token, by the beginning of their name, relative "
        'and ending in one slash; `["*"]`: all. In the environment: separated by blanks.',
    )
    sign_prefixes: Prefixes = Field(
        default=(),
        description="Repositories, likewise, where publishing takes the action `sign` besides `push`.",
    )
    max_token_bytes: Annotated[int, BeforeValidator(between(1024, 65536))] = Field(
        default=16_384,
        description="Bytes of a token, 1024 to 65536. A longer one is refused without a look at it.",
    )
    max_token_access: Annotated[int, BeforeValidator(between(1, 10000))] = Field(
        default=256, description="Entries of a token's access list, 1 to 10000."
    )


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    # An empty type says "nobody is checked"; the rest without one is more likely a type that got lost.
    if "auth.type" not in raw and any(key.startswith("auth.") for key in raw):
        lost = "auth.options" if any(key.startswith("auth.options.") for key in raw) else "its other keys"
        return [
            Problem(
                "auth.type",
                f'is missing beside {lost}; remove auth, or set auth.type to "", to let everybody in',
            )
        ]
    return _token_problems(raw) if raw.get("auth.type") == "token" else []


def _token_problems(raw: Mapping[str, object]) -> list[Problem]:
    found = [
        Problem(f"auth.options.{key}", f"is missing; write {what}")
        for key, what in (
            ("realm", "the address of the token service"),
            ("service", "this server's name in tokens"),
        )
        if raw.get(f"auth.options.{key}") is None
    ]
    issuer, issuers = raw.get("auth.options.issuer"), raw.get("auth.options.issuers")
    keys = [key for key in _KEYS if raw.get(f"auth.options.{key}") is not None]
    if issuer is None and (keys or not issuers):
        found.append(
            Problem("auth.options.issuer", "is missing; write the name of the token service in tokens")
        )
    if issuer is not None and not keys:
        found.append(Problem("auth.options.rootcertbundle", f"is missing; set one of {', '.join(_KEYS)}"))
    if raw.get("auth.options.jwks_ca_file") is not None and raw.get("auth.options.jwks_url") is None:
        found.append(Problem("auth.options.jwks_url", "is missing beside jwks_ca_file; set both or neither"))
    entries = issuers if isinstance(issuers, list) else []
    if issuer is not None and issuer in [entry.get("issuer") for entry in entries if isinstance(entry, dict)]:
        found.append(
            Problem("auth.options.issuers", "names auth.options.issuer again; give all its keys in one place")
        )
    return found
