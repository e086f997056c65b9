"""From the configuration to whoever decides about access: issuers, their keys, and what can be wrong with them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from notary_common.tls import TlsError, client_context

from .auth.access import AccessController, Everybody
from .auth.issuers import Issuer
from .auth.key_files import KeyFiles
from .auth.key_url import KeyUrl
from .auth.token.algorithms import DEFAULT_ALGORITHMS
from .auth.token.keys import bundle_alerts
from .auth.token.verify import Rules
from .auth.token_access import Policy, TokenAccess
from .config.auth import Auth, AuthOptions, IssuerOptions
from .ports import Clock


@asynccontextmanager
async def open_access(auth: Auth, clock: Clock) -> AsyncIterator[AccessController]:
    """Whoever decides about access, as long as the context lasts.

    Raises:
        TlsError: a file that the configuration names cannot be used.
    """
    if auth.type is None:
        yield Everybody()
        return
    access = token_access(auth, clock)
    async with access.watching():
        yield access


def token_access(auth: Auth, clock: Clock) -> TokenAccess:
    """Access by tokens, where `auth.type` says so; nothing is fetched yet.

    Raises:
        TlsError: a file that the configuration names cannot be used.
    """
    return TokenAccess([_issuer(one, auth.options) for one in believed(auth)], policy(auth), clock)


def believed(auth: Auth) -> list[IssuerOptions]:
    """All configured issuers, that of Notary's own options first."""
    options = auth.options
    if options.issuer is None:
        return list(options.issuers)
    first = IssuerOptions.model_construct(
        issuer=options.issuer,
        rootcertbundle=options.rootcertbundle,
        jwks_file=options.jwks_file,
        jwks_url=options.jwks_url,
        jwks_ca_file=options.jwks_ca_file,
    )
    return [first, *options.issuers]


def policy(auth: Auth) -> Policy:
    """What holds for every token."""
    options = auth.options
    rules = Rules(
        algorithms=frozenset(options.algorithms or DEFAULT_ALGORITHMS),
        leeway=options.leeway,
        max_bytes=auth.max_token_bytes,
        max_entries=auth.max_token_access,
    )
    return Policy(rules, auth.anonymous_pull, auth.sign_prefixes, options.autoredirect)


def file_problems(auth: Auth) -> list[str]:
    """What keeps the files of keys from being used, each with the key that names it."""
    if auth.type is None:
        return []
    found = []
    for number, one in enumerate(believed(auth)):
        place = _place(auth, number)
        try:
            _files(one).load()
        except TlsError as error:
            key = "jwks_file" if error.file == one.jwks_file else "rootcertbundle"
            found.append(f"{place}{key}: {error}")
        try:
            _address(one, auth.options)
        except TlsError as error:
            found.append(f"{place}jwks_ca_file: {error}")
    return found


def file_alerts(auth: Auth) -> list[str]:
    """Certificates of sound bundles that have ended: no reason not to start."""
    if auth.type is None:
        return []
    return [
        f"{_place(auth, number)}rootcertbundle: {alert}"
        for number, one in enumerate(believed(auth))
        for alert in bundle_alerts(_files(one).load(), time.time())
    ]


def _place(auth: Auth, number: int) -> str:
    """Where the configuration says so about the issuer of that number."""
    if auth.options.issuer is None:
        number += 1
    return "auth.options." if number == 0 else f"auth.options.issuers: entry {number}, "


def _issuer(one: IssuerOptions, options: AuthOptions) -> Issuer:
    return Issuer(
        name=one.issuer,
        service=one.service or options.service or "",
        realm=one.realm or options.realm or "",
        files=_files(one),
        url=_address(one, options),
    )


def _files(one: IssuerOptions) -> KeyFiles:
    return KeyFiles(Path(one.rootcertbundle) if one.rootcertbundle is not None else None, one.jwks_file)


def _address(one: IssuerOptions, options: AuthOptions) -> KeyUrl | None:
    if one.jwks_url is None:
        return None
    if one.jwks_url.startswith("https:"):
        client_context(
            one.jwks_ca_file, None, None
        )  # so that a file of no use keeps the server from starting
    return KeyUrl(one.jwks_url, one.jwks_ca_file, options.jwks_refresh)
