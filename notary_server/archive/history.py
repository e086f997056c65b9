"""PURE: whether files that were current once are what they say: readable, of their version, and signed as root said.

Clients are led to them no more, and verify what they ask for by version or digest. This keeps what no owner signed out
of a server's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notary_server.tuf import verify
from notary_server.tuf.certificates import BadRootError, stored_root
from notary_server.tuf.model import AnyParsed
from notary_server.tuf.names import BASE_ROLES, ROOT, SNAPSHOT, TIMESTAMP, Gun, RoleName, is_role
from notary_server.tuf.parse import ParseError, parse_root, parse_snapshot, parse_targets, parse_timestamp
from notary_server.tuf10.file import BadFileError, StandardFile
from notary_server.tuf10.names import is_standard
from notary_server.tuf10.verify import verify as verify_standard

from .format import Entry
from .merge import Refused

Check = Callable[[Entry, bytes], None]


def checker(gun: Gun, roots: Sequence[bytes]) -> Check:
    """What raises `Refused` for a file that cannot have been published with any of these roots, of which one counts.

    A delegation must be readable and of its version: whoever delegated to it then may have been pruned.
    """
    standard = is_standard(roots[-1]) if roots else False
    signed = _standard(roots) if standard else _notary(gun, roots)

    def check(entry: Entry, data: bytes) -> None:
        try:
            version = signed(RoleName(entry.role), data)
        except (ParseError, BadFileError, BadRootError, verify.BadSignaturesError) as problem:
            raise Refused(f"version {entry.version} of {entry.role} is not valid: {problem}") from None
        if version != entry.version:
            raise Refused(f"{entry.role} says that it is version {version}, and is listed as {entry.version}")

    return check


def _notary(gun: Gun, roots: Sequence[bytes]) -> Callable[[RoleName, bytes], int]:
    bodies = [parse_root(data).body for data in roots]

    def signed(role: RoleName, data: bytes) -> int:
        if not is_role(role):
            raise BadFileError("this repository can have no such role")
        if role == ROOT:
            return stored_root(gun, parse_root(data)).body.version
        parsed: AnyParsed
        if role == SNAPSHOT:
            parsed = parse_snapshot(data)
        elif role == TIMESTAMP:
            parsed = parse_timestamp(data)
        else:
            parsed = parse_targets(role, data)
        if role in BASE_ROLES:
            _by_any(
                [
                    lambda body=body: verify.trust(  # type: ignore[misc]
                        parsed, body.keys, body.roles[role].keyids, body.roles[role].threshold
                    )
                    for body in reversed(bodies)
                ]
            )
        return parsed.body.version

    return signed


def _standard(roots: Sequence[bytes]) -> Callable[[RoleName, bytes], int]:
    bodies = [StandardFile(ROOT, data).root() for data in roots]

    def signed(role: RoleName, data: bytes) -> int:
        file = StandardFile(role, data)
        if role in BASE_ROLES:
            _by_any([lambda body=body: verify_standard(body, file) for body in reversed(bodies)])  # type: ignore[misc]
        return file.version

    return signed


def _by_any(attempts: Sequence[Callable[[], object]]) -> None:
    """Raises: the last problem, if none of them succeeds."""
    for number, attempt in enumerate(attempts, 1):
        try:
            attempt()
            return
        except (verify.BadSignaturesError, BadFileError):
            if number == len(attempts):
                raise
