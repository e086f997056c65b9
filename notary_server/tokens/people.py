"""Who asks for a token, and what they may do: users, robots, workloads, or nobody in particular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .access import OIDC_USER, Access
from .errors import BadCredentials
from .grants import Permission
from .htpasswd import Users
from .passwords import PasswordCheck
from .robots import SECRET_PREFIX, Robot, Robots
from .watched import Watched
from .workload import permissions
from .workload_tokens import WorkloadTokens

NOBODY: Final = "anonymous"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and what was given as its password."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r})"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as was checked.

    Attributes:
        name: the subject of the token; empty for nobody in particular.
        kind: `user`, `robot`, `workload` or `anonymous`.
    """

    name: str
    kind: str
    permissions: tuple[Permission, ...]


class People:
    """Everybody that is known."""

    def __init__(
        self,
        *,
        access: Watched[Access],
        users: Watched[Users] | None,
        robots: Watched[Robots] | None,
        passwords: PasswordCheck,
        workloads: WorkloadTokens,
        clock: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._users = users
        self._robots = robots
        self._passwords = passwords
        self._workloads = workloads
        self._clock = clock

    async def identify(self, credentials: Credentials | None, address: str) -> Caller:
        """Who comes from `address`.

        Raises:
            BadCredentials, TooManyFailures, Busy: see there.
        """
        access = self._access.current()
        if credentials is None:
            return Caller("", NOBODY, access.anonymous)
        if credentials.name == OIDC_USER:
            caller = await self._workload(credentials.password, access, address)
        # By the shape of the secret, not by the name: how long it takes must not tell who is a robot.
        elif credentials.password.startswith(SECRET_PREFIX):
            caller = self._robot(credentials, address)
        else:
            users = self._users.current() if self._users is not None else Users({})
            await self._passwords.check(users, credentials.name, credentials.password, address)
            caller = Caller(credentials.name, "user", access.of_user(credentials.name))
        return Caller(caller.name, caller.kind, (*caller.permissions, *access.anonymous))

    async def exchange(self, identity_token: str, address: str) -> Caller:
        """Who shows an identity token, as for `identify`."""
        access = self._access.current()
        caller = await self._workload(identity_token, access, address)
        return Caller(caller.name, caller.kind, (*caller.permissions, *access.anonymous))

    def _robot(self, credentials: Credentials, address: str) -> Caller:
        self._passwords.admit(None, address)
        robots = self._robots.current() if self._robots is not None else Robots({})
        found = robots.check(credentials.name, credentials.password, self._clock())
        if not isinstance(found, Robot):
            self._passwords.failed(address)
            raise BadCredentials(found)
        return Caller(found.name, "robot", found.permissions)

    async def _workload(self, identity_token: str, access: Access, address: str) -> Caller:
        self._passwords.admit(None, address)
        try:
            verified = await self._workloads.verify(identity_token, access.issuers)
        except BadCredentials:
            self._passwords.failed(address)
            raise
        held = permissions(access.workloads, verified.issuer, verified.claims)
        return Caller(f"{verified.issuer}:{verified.subject}", "workload", held)
