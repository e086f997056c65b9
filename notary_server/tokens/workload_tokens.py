"""Identity tokens of workloads (OpenID Connect): verified by the keys of those issuers that the access file names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from notary_common.log import get_logger
from notary_common.tls import TlsError, client_context
from notary_server.auth.key_files import KeyFileError, KeyFiles
from notary_server.auth.key_url import KeyUrl
from notary_server.auth.token.algorithms import ALGORITHMS
from notary_server.auth.token.keys import KeyRing
from notary_server.auth.token.refusal import Reason, Refusal, shown
from notary_server.auth.token.verify import Rules, Unverified, Verified, read, verify

from .access import Issuer
from .errors import BadCredentials, Busy
from .files import FileProblem
from .watched import Watched

REFRESH: Final = 3600.0
"""Seconds between two looks at an issuer's keys; a token with an unknown key causes one at once."""
_RULES: Final = Rules(algorithms=frozenset(ALGORITHMS))

_log = get_logger("notary_server.tokens")


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload whose token was verified.

    Attributes:
        issuer: by the access file's name for it.
        claims: all that the token says.
    """

    issuer: str
    subject: str
    claims: Mapping[str, Any]


class _Keys:
    """The keys of one issuer, looked after as long as the access file names it."""

    def __init__(self, issuer: Issuer) -> None:
        """Raises: FileProblem, TlsError: the issuer's file, or that of its authority, cannot be used."""
        self._file = Watched(issuer.jwks_file, _ring) if issuer.jwks_file is not None else None
        self._url: KeyUrl | None = None
        if issuer.jwks_url is not None:
            client_context(issuer.ca_file, None, None)  # a file of no use is found at once
            self._url = KeyUrl(issuer.jwks_url, issuer.ca_file, REFRESH)
            self._looking = asyncio.create_task(self._url.run())

    @property
    def ring(self) -> KeyRing | None:
        """All of them; None as long as their address was never reached."""
        if self._file is not None:
            return self._file.current()
        return self._url.ring if self._url is not None else None

    async def look_early(self) -> bool:
        """Look for new ones where that is possible; whether there are any."""
        return self._url is not None and await self._url.look_early()

    async def close(self) -> None:
        """Look no more."""
        if self._url is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            await self._url.close()


def _ring(path: Path) -> KeyRing:
    try:
        return KeyFiles(jwks=path).load()
    except KeyFileError as error:
        raise FileProblem(path, [str(error).removeprefix(f"{path}: ")]) from None


class WorkloadTokens:
    """The issuers that count now. For one event loop."""

    def __init__(self) -> None:
        self._keys: dict[Issuer, _Keys] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def verify(self, token: str, issuers: Sequence[Issuer]) -> Workload:
        """The workload that a token stands for.

        Raises:
            BadCredentials: the token is not good, whatever the reason.
            Busy: the keys of its issuer cannot be had.
        """
        self.attend(issuers)
        unverified = read(token, _RULES)
        if isinstance(unverified, Refusal):
            raise BadCredentials(unverified.text)
        issuer = next((one for one in issuers if one.issuer == unverified.claims.issuer), None)
        if issuer is None:
            raise BadCredentials(
                f'the access file does not name the issuer "{shown(unverified.claims.issuer)}"'
            )
        keys = self._keys.get(issuer)
        if keys is None or (keys.ring is None and not await keys.look_early()):
            raise Busy("the keys of the token's issuer cannot be had; try again in a moment")
        verified = _verified(unverified, issuer, keys)
        if (
            isinstance(verified, Refusal)
            and verified.reason is Reason.UNKNOWN_KEY
            and await keys.look_early()
        ):
            verified = _verified(unverified, issuer, keys)
        if isinstance(verified, Refusal):
            raise BadCredentials(verified.text)
        if not unverified.claims.subject:
            raise BadCredentials("the token names no subject")
        return Workload(issuer.name, unverified.claims.subject, unverified.parts.claims)

    def attend(self, issuers: Sequence[Issuer]) -> None:
        """Look after the keys of these issuers, and of no others."""
        for issuer in [known for known in self._keys if known not in issuers]:
            leaving = asyncio.create_task(self._keys.pop(issuer).close())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for issuer in issuers:
            if issuer not in self._keys:
                try:
                    self._keys[issuer] = _Keys(issuer)
                except (FileProblem, TlsError) as error:
                    _log.error("the keys of an issuer cannot be read", issuer=issuer.name, reason=str(error))

    async def close(self) -> None:
        """Look after none any more."""
        self.attend(())
        await asyncio.gather(*self._leaving, return_exceptions=True)


def _verified(token: Unverified, issuer: Issuer, keys: _Keys) -> Verified | Refusal:
    ring = keys.ring
    assert ring is not None, "whoever asks has looked"  # noqa: S101
    return verify(token, issuer.audience, ring, _RULES, time.time())
