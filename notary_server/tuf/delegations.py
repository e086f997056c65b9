"""Targets and delegations of an upload: verified from root downwards, with their ancestors (TUF specification, 5.6)."""

from __future__ import annotations

from collections.abc import Mapping

from .certificates import weakness
from .document import Document
from .model import DelegatedRole, PublicKey, Root, Targets, Trusted
from .names import TARGETS, RoleName, ancestors, depth_order, parent
from .parse import ParseError
from .verify import BadSignaturesError, trust


class BadTargetsError(Exception):
    """A targets or delegation file cannot be trusted; the text is for people."""


def verify_targets(root: Root, file: Document) -> Trusted[Targets]:
    """Verify the top targets file, uploaded or stored, against `root`; its expiry is not looked at.

    Raises:
        BadTargetsError: it is malformed, or not signed by enough of the keys that root lists.
    """
    role = root.roles[TARGETS]
    return _verify(file, root.keys, role.keyids, role.threshold)


def verify_uploaded(
    root: Root, uploaded: Mapping[RoleName, Document], stored: Mapping[RoleName, Document], now_ns: int
) -> dict[RoleName, Trusted[Targets]]:
    """Verify all uploaded targets and delegation files, fewer segments first, then by name.

    Ancestors that are not uploaded come from `stored`, where an expired one will do.

    Returns:
        The uploaded files and the stored ancestors they needed, by role.

    Raises:
        BadTargetsError: one of them cannot be trusted, or an uploaded one has expired.
    """
    seen: dict[RoleName, Trusted[Targets]] = {}
    for role in sorted(uploaded, key=depth_order):
        for ancestor in ancestors(role):
            if ancestor not in seen:
                seen[ancestor] = _stored_ancestor(root, seen, ancestor, role, stored)
        seen[role] = _verify_role(root, seen, uploaded[role])
        if seen[role].body.expires < now_ns:
            raise BadTargetsError(f"the {role} file has expired; sign it again")
    return seen


def _stored_ancestor(
    root: Root,
    seen: Mapping[RoleName, Trusted[Targets]],
    ancestor: RoleName,
    role: RoleName,
    stored: Mapping[RoleName, Document],
) -> Trusted[Targets]:
    if ancestor not in stored:
        raise BadTargetsError(f"{role} cannot be published before {ancestor}, which delegates to it")
    try:
        return _verify_role(root, seen, stored[ancestor])
    except BadTargetsError as error:
        raise BadTargetsError(f"{role} cannot be published now: as it is published, {error}") from None


def _verify_role(root: Root, seen: Mapping[RoleName, Trusted[Targets]], file: Document) -> Trusted[Targets]:
    role = file.role
    if role == TARGETS:
        return verify_targets(root, file)
    delegating = seen[parent(role)].body
    entry = _entry(delegating, role)
    if any(weakness(delegating.keys[keyid]) is not None for keyid in entry.keyids):
        raise BadTargetsError(
            f"a key of {role} is a certificate too weak to be used (SHA-1, or RSA below 2048 bits)"
        )
    return _verify(file, delegating.keys, entry.keyids, entry.threshold)


def _entry(delegating: Targets, role: RoleName) -> DelegatedRole:
    for entry in delegating.roles:
        if entry.name == role:
            return entry
    raise BadTargetsError(f"{parent(role)} does not delegate to {role}; it may have been removed meanwhile")


def _verify(
    file: Document, keys: Mapping[str, PublicKey], keyids: tuple[str, ...], threshold: int
) -> Trusted[Targets]:
    try:
        return trust(file.targets(), keys, keyids, threshold)
    except (ParseError, BadSignaturesError) as error:
        raise BadTargetsError(f"the {file.role} file is not valid: {error}") from None
