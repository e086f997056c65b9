"""The delegations of a repository: verified from targets downwards, uploaded files against those that are published."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from tuf.api.metadata import Root, Targets

from ..tuf.names import TARGETS, RoleName
from .file import BadFileError, StandardFile
from .names import is_delegation
from .verify import Delegator, verify


class BadTargetsError(Exception):
    """A targets file cannot be trusted, or not with what it delegates to; the text is for people."""


def delegated(body: Targets) -> Iterator[RoleName]:
    """The roles that a targets file delegates to, in its order; hash bins one by one."""
    if body.delegations is None:
        return
    if body.delegations.succinct_roles is not None:
        yield from map(RoleName, body.delegations.succinct_roles.get_roles())
    else:
        yield from map(RoleName, body.delegations.roles or ())


def bins(before: Targets | None, after: Targets) -> frozenset[RoleName]:
    """Hash bins whose keys stay as they are when `after` takes the place of `before`: they need not be looked at again."""
    new, old = after.delegations, None if before is None else before.delegations
    if new is None or old is None or new.succinct_roles is None or new.succinct_roles != old.succinct_roles:
        return frozenset()
    if any(new.keys.get(keyid) != old.keys.get(keyid) for keyid in new.succinct_roles.keyids):
        return frozenset()
    return frozenset(delegated(after))


def verify_tree(
    root: Root,
    uploaded: Mapping[RoleName, StandardFile],
    stored: Callable[[RoleName], StandardFile | None],
    untouched: frozenset[RoleName],
) -> None:
    """Verify every targets file that clients may come to, against everybody who delegates to it.

    Args:
        stored: finds a published file.
        untouched: published roles that are known to be as good as they were, and to delegate to nobody.

    Raises:
        BadTargetsError: a file is malformed, lacks signatures, or is missing; or an uploaded one is nobody's delegate.
    """
    reached: set[RoleName] = set()
    waiting: deque[tuple[RoleName, Delegator, bool]] = deque([(TARGETS, root, False)])
    while waiting:
        role, delegator, is_bin = waiting.popleft()
        if role in untouched and role not in uploaded:
            continue
        file = uploaded.get(role) or stored(role)
        if file is None:
            raise BadTargetsError(
                f"{role} is delegated to, and is neither sent nor published; publish both together"
            )
        try:
            verify(delegator, file)
            body = file.targets()
        except BadFileError as error:
            raise BadTargetsError(f"the {role} file is not valid: {error}") from None
        if is_bin and body.delegations is not None:
            raise BadTargetsError(f"{role} is a hash bin, which may not delegate further")
        if role not in reached:
            reached.add(role)
            waiting.extend(_below(role, body))
    for role in uploaded:
        if role not in reached:
            raise BadTargetsError(f"no targets file delegates to {role}")


def _below(role: RoleName, body: Targets) -> Iterator[tuple[RoleName, Delegator, bool]]:
    in_bins = body.delegations is not None and body.delegations.succinct_roles is not None
    for name in delegated(body):
        if not is_delegation(name):
            raise BadTargetsError(f"{role} delegates to a role whose name cannot be served here")
        yield name, body, in_bins
