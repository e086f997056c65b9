"""Access by registry tokens: who may do what is what an issuer that is believed has signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from notary_common.log import get_logger
from notary_common.tls import Validity
from notary_server.errors import Unauthorized, Unavailable
from notary_server.ports import Clock

from .access import ANONYMOUS, Identity, Wanted
from .cache import VerifiedTokens, digest_of
from .challenge import challenge, redirected_realm
from .credentials import bearer_token
from .issuers import Issuer, IssuerKeys
from .key_files import KeyFileError
from .token.grants import Required, access_refusal, required
from .token.keys import KeyRing
from .token.refusal import Reason, Refusal, shown
from .token.verify import Rules, Unverified, Verified, issuer_refusal, read, verify

_MESSAGES: Final = {
    None: "authentication required",
    "invalid_token": "the token is not valid; the log of the server says why, under the ID of this request",
    "insufficient_scope": "the token does not allow this; detail lists what it must grant",
}

_log = get_logger()


class TokenKeysUnavailable(Unavailable):
    """The keys of an issuer were never reached, so its tokens can be neither believed nor refused."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decides about tokens.

    Attributes:
        anonymous_pull: beginnings of the names of repositories that anybody may read; "" is all of them.
        sign_prefixes: likewise, where publishing takes the action `sign` besides `push`.
        autoredirect: whether challenges name the token service beside this server, by the request's Host.
    """

    rules: Rules = field(default_factory=Rules)
    anonymous_pull: tuple[str, ...] = ()
    sign_prefixes: tuple[str, ...] = ()
    autoredirect: bool = False

    def public(self, wanted: Wanted) -> bool:
        """Whether nobody is asked who they are."""
        return (
            wanted.level == "pull"
            and bool(self.anonymous_pull)
            and wanted.gun.startswith(self.anonymous_pull)
        )

    def required(self, wanted: Wanted) -> Required:
        """What a token must grant."""
        return required(wanted, self.sign_prefixes)


class TokenAccess:
    """Implements `AccessController` where `auth.type` is `token`. For one event loop."""

    guarded: Final = True
    use: Final = "token_keys"
    """What the files are for, in the words of whoever watches them."""

    def __init__(self, issuers: Sequence[Issuer], policy: Policy, clock: Clock) -> None:
        """Read the files of all keys.

        Args:
            issuers: at least one; the first is named to whoever has no token.

        Raises:
            KeyFileError: a file cannot be used.
        """
        self._keys = {issuer.name: IssuerKeys(issuer) for issuer in issuers}
        self._first = issuers[0]
        self._policy = policy
        self._clock = clock
        self._known = VerifiedTokens()

    async def authorize(self, wanted: Wanted, headers: Mapping[str, str]) -> Identity:
        """See `AccessController.authorize`.

        Raises:
            Unauthorized: likewise.
            TokenKeysUnavailable: the token's issuer is believed, but its keys could not be fetched yet.
        """
        policy = self._policy
        if policy.public(wanted):
            # Whatever token comes is not looked at: without it, the same would be served (docs/adr/0027).
            return ANONYMOUS
        token, issuer = bearer_token(headers), self._first
        outcome: Verified | Refusal
        if isinstance(token, Refusal):
            outcome = token
        else:
            outcome, issuer = await self._outcome(token)
        need = policy.required(wanted)
        if isinstance(outcome, Verified):
            refusal = access_refusal(need, outcome.grants)
            if refusal is None:
                return outcome.identity
            identity = outcome.identity
        else:
            refusal, identity = outcome, ANONYMOUS
        raise self._refused(refusal, need, issuer, headers.get("host"), identity)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that keys come from, for whoever watches them."""
        return tuple(path for keys in self._keys.values() for path in keys.issuer.files.paths)

    def reload(self) -> bool:
        """Read the files of keys anew. Each issuer has its new keys at once, or keeps all its old ones.

        Returns:
            Whether any keys have changed.

        Raises:
            KeyFileError: a file cannot be used; the other issuers' were read all the same.
        """
        changed, failure = False, None
        for keys in self._keys.values():
            try:
                changed |= keys.reload()
            except KeyFileError as error:
                failure = error
        if failure is not None:
            raise failure
        return changed

    def validities(self) -> Mapping[str, Validity]:
        """Nothing: an issuer's keys have no end of their own, and bundles are looked at when the server starts."""
        return {}

    async def look_everywhere(self) -> None:
        """Fetch the keys that come from addresses, once."""
        await asyncio.gather(*(keys.look_early() for keys in self._keys.values()))

    @property
    def issuers(self) -> tuple[str, ...]:
        """The names of those whose tokens are believed."""
        return tuple(self._keys)

    def issuer(self, name: str) -> Issuer | None:
        """The issuer of that name; None if there is none."""
        keys = self._keys.get(name)
        return None if keys is None else keys.issuer

    def ring(self, issuer: str) -> KeyRing | None:
        """The keys of an issuer; None if there are none, or it is not known."""
        keys = self._keys.get(issuer)
        return None if keys is None else keys.ring

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look for new keys at all addresses while the context lasts."""
        urls = [keys.issuer.url for keys in self._keys.values() if keys.issuer.url is not None]
        tasks = [asyncio.create_task(url.run()) for url in urls]
        # They begin before anything is asked, so that the first request finds a look under way to wait for.
        await asyncio.sleep(0)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for url in urls:
                await url.close()

    async def _outcome(self, token: str) -> tuple[Verified | Refusal, Issuer]:
        now, rules = self._clock.now_ns() / 1e9, self._policy.rules
        digest = digest_of(token) if len(token) <= rules.max_bytes else b""
        known = self._known.get(digest, now)
        if known is not None:
            keys = self._keys[known[0].identity.issuer]
            if keys.ring is known[1]:
                return known[0], keys.issuer
        unverified = read(token, rules)
        if isinstance(unverified, Refusal):
            return unverified, self._first
        found = self._keys.get(unverified.claims.issuer)
        if found is None:
            return issuer_refusal(unverified.claims, tuple(self._keys)), self._first
        ring, outcome = await self._verified(unverified, found, now)
        if isinstance(outcome, Verified):
            self._known.put(digest, len(token), outcome, ring)
        return outcome, found.issuer

    async def _verified(
        self, token: Unverified, keys: IssuerKeys, now: float
    ) -> tuple[KeyRing, Verified | Refusal]:
        if keys.ring is None:
            await keys.settle()
        ring, outcome = self._judged(token, keys, now)
        if isinstance(outcome, Refusal) and outcome.reason is Reason.UNKNOWN_KEY:
            if await keys.look_early():
                ring, outcome = self._judged(token, keys, now)
            elif not keys.complete:
                raise _unreached(keys)
        return ring, outcome

    def _judged(self, token: Unverified, keys: IssuerKeys, now: float) -> tuple[KeyRing, Verified | Refusal]:
        ring = keys.ring
        if ring is None:
            raise _unreached(keys)
        return ring, verify(token, keys.issuer.service, ring, self._policy.rules, now)

    def _refused(
        self, refusal: Refusal, need: Required, issuer: Issuer, host: str | None, identity: Identity
    ) -> Unauthorized:
        # Every client asks without a token first: that is no news.
        log = _log.info if refusal.reason is Reason.NO_TOKEN else _log.warning
        log(
            "access refused",
            reason=refusal.reason.value,
            why=refusal.text,
            resource=need.name,
            wanted=need.scope,
            subject=shown(identity.name),
            **refusal.facts,
        )
        realm = redirected_realm(host) if self._policy.autoredirect else None
        header = challenge(realm or issuer.realm, issuer.service, need, refusal.error)
        return Unauthorized(
            _MESSAGES[refusal.error],
            header,
            need.detail,
            subject=identity.name,
            issuer=identity.issuer,
            reason=refusal.reason.value,
        )


def _unreached(keys: IssuerKeys) -> TokenKeysUnavailable:
    return TokenKeysUnavailable(f"the keys of the issuer {keys.issuer.name} could not be fetched yet")
