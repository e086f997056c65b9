"""A token from its bytes to what it allows: every check in its order, each by a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from notary_server.auth.access import Identity

from .algorithms import DEFAULT_ALGORITHMS
from .claims import (
    Claims,
    audience_refusal,
    expiry_refusal,
    not_before_refusal,
    read_claims,
)
from .compact import Parts, take_apart
from .grants import Grants
from .keys import KeyRing, VerifyingKey
from .refusal import Reason, Refusal, shown
from .signature import algorithm_refusal, choose_key, signature_refusal


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every token.

    Attributes:
        algorithms: that may have signed it.
        leeway: seconds by which clocks may differ.
        max_bytes, max_entries: of a token, and of the accesses it lists.
    """

    algorithms: frozenset[str] = frozenset(DEFAULT_ALGORITHMS)
    leeway: int = 60
    max_bytes: int = 16_384
    max_entries: int = 256


@dataclass(frozen=True, slots=True)
class Unverified:
    """A well-formed token that nobody has vouched for yet."""

    parts: Parts
    claims: Claims


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good token says.

    Attributes:
        until: seconds since 1970, after which it is not good any more.
    """

    identity: Identity
    grants: Grants
    until: float


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what is checked.
        refusal: None if it passed.
        key: the key that was chosen, where that is what is checked.
    """

    name: str
    refusal: Refusal | None
    key: VerifyingKey | None = None


def read(token: str, rules: Rules) -> Unverified | Refusal:
    """Take a token apart; never raises."""
    parts = take_apart(token, rules.max_bytes)
    if isinstance(parts, Refusal):
        return parts
    claims = read_claims(parts.claims, rules.max_entries)
    return claims if isinstance(claims, Refusal) else Unverified(parts, claims)


def issuer_refusal(claims: Claims, known: tuple[str, ...]) -> Refusal:
    """What is said of a token whose issuer is not configured."""
    seen, wanted = shown(claims.issuer), ", ".join(known)
    return Refusal(
        Reason.ISSUER,
        f'the token was issued by "{seen}", this server believes {wanted} (auth.options.issuer)',
        {"issuer_seen": seen, "issuer_wanted": wanted},
    )


def checks(token: Unverified, service: str, ring: KeyRing, rules: Rules, now: float) -> Iterator[Check]:
    """Every check of a token, one after the other; whoever only wants to know whether it is good stops early.

    Args:
        service: what this server is called by the token's issuer.
        ring: the keys of that issuer.
        now: seconds since 1970.
    """
    parts, claims = token.parts, token.claims
    algorithm = algorithm_refusal(parts.header, rules.algorithms)
    yield Check("algorithm", algorithm)
    key = choose_key(parts.header, ring, now)
    if isinstance(key, Refusal):
        yield Check("key", key)
    else:
        yield Check("key", None, key)
        if algorithm is None:
            yield Check("signature", signature_refusal(parts, key))
    yield Check("audience", audience_refusal(claims, service))
    yield Check("not before", not_before_refusal(claims, now, rules.leeway))
    yield Check("expiry", expiry_refusal(claims, now, rules.leeway))


def verify(token: Unverified, service: str, ring: KeyRing, rules: Rules, now: float) -> Verified | Refusal:
    """What a token is good for, or why it is not good; arguments as for `checks`."""
    claims = token.claims
    until = float(claims.expires + rules.leeway)
    for check in checks(token, service, ring, rules, now):
        if check.refusal is not None:
            return check.refusal
        if check.key is not None:
            until = min(until, check.key.until)
    return Verified(Identity(name=claims.subject, issuer=claims.issuer), claims.grants, until)
