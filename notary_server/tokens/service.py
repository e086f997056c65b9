"""The one thing the service does: who asks, what for, what is granted, a token; and a line about it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from notary_common.log import get_logger

from .errors import BadRequest, BadScope, Busy, TokenRefused
from .grants import granted
from .issue import signed_token
from .keys import TokenKeys
from .metrics import Metrics
from .people import Caller, Credentials, People
from .scopes import Scope, ScopeError, parse_scopes
from .watched import Watched

_audit = get_logger("notary_server.tokens.audit")
# Written at every log level: who was let in must never be unknown.
logging.getLogger("notary_server.tokens.audit").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Naming:
    """What stands in every token, and how repositories are called; see `config.Tokens`."""

    issuer: str
    service: str
    registry: str | None
    lifetime: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a token.

    Attributes:
        credentials: None: nobody in particular.
        identity_token: instead of credentials, in an exchange.
        scopes: as they came.
        service: for whom; empty: for whom it always is.
        client: what the client calls itself.
        address: where it comes from.
        request_id: for the log.
    """

    credentials: Credentials | None
    scopes: tuple[str, ...]
    service: str
    client: str
    address: str
    request_id: str
    identity_token: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and when it was made."""

    token: str
    issued: datetime
    lifetime: int


class TokenService:
    """Gives tokens.

    Attributes:
        metrics: what it did is counted there.
    """

    def __init__(
        self,
        naming: Naming,
        people: People,
        keys: Watched[TokenKeys],
        clock: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._naming = naming
        self._people = people
        self._keys = keys
        self._clock = clock
        self.metrics = metrics

    @property
    def realm(self) -> str:
        """What to call itself when it asks for a password."""
        return self._naming.service

    @property
    def published(self) -> dict[str, object]:
        """The public keys as a JWK set."""
        return self._keys.current().document

    @property
    def ready(self) -> bool:
        """Whether it could sign now."""
        return self._keys.current().signing(self._clock()) is not None

    async def token(self, asked: Asked) -> Issued:
        """A token for what is granted of what is asked; it may be that nothing is.

        Raises:
            TokenRefused: no token is given.
        """
        facts: dict[str, object] = {
            "request_id": asked.request_id,
            "address": asked.address,
            "client": _shown(asked.client),
            "asked": [_shown(scope) for scope in asked.scopes],
        }
        try:
            scopes = self._understood(asked)
            caller = await self._caller(asked)
            allowed = granted(scopes, caller.permissions, self._naming.registry)
            issued, token_id = self._issue(caller, allowed)
        except TokenRefused as refused:
            name = asked.credentials.name if asked.credentials is not None else ""
            self.refusal(refused, user=_shown(name), **facts)
            raise
        self.metrics.issued(caller.kind)
        _audit.info(
            "token granted",
            user=_shown(caller.name),
            kind=caller.kind,
            granted=[str(scope) for scope in allowed],
            id=token_id,
            **facts,
        )
        return issued

    def refusal(self, refused: TokenRefused, **facts: object) -> None:
        """Count and log a request that got no token, also where it was too broken to ask for one."""
        self.metrics.refused(refused.oauth)
        _audit.info("token refused", reason=refused.reason, status=refused.status, **facts)

    def _understood(self, asked: Asked) -> tuple[Scope, ...]:
        if asked.service and asked.service != self._naming.service:
            raise BadRequest(f"this service gives tokens for {self._naming.service} only")
        try:
            return parse_scopes(asked.scopes)
        except ScopeError as error:
            raise BadScope(str(error)) from None

    async def _caller(self, asked: Asked) -> Caller:
        if asked.identity_token is not None:
            return await self._people.exchange(asked.identity_token, asked.address)
        return await self._people.identify(asked.credentials, asked.address)

    def _issue(self, caller: Caller, allowed: Iterable[Scope]) -> tuple[Issued, str]:
        now = self._clock()
        key = self._keys.current().signing(now)
        if key is None:
            raise Busy("no key may sign now", "no key may sign now; see: notary-server tokens key list")
        token_id = uuid.uuid4().hex
        token = signed_token(
            key,
            issuer=self._naming.issuer,
            service=self._naming.service,
            subject=caller.name,
            granted=allowed,
            now=now,
            lifetime=self._naming.lifetime,
            token_id=token_id,
        )
        return Issued(token, now, self._naming.lifetime), token_id


def _shown(text: str) -> str:
    """What a client sent, as it may stand in a log: short and printable."""
    return "".join(c if c.isprintable() else "?" for c in text[:256])
