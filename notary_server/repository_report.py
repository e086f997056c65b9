"""What an operator sees of a stored repository: roles, versions, sizes, expiries, signers and tags."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from notary_common.table import columns, printable

from .ports import MetadataStore, Repository
from .standard_report import standard_report
from .tuf.model import Parsed, PublicKey, Root, Snapshot, Targets, Timestamp
from .tuf.names import BASE_ROLES, ROOT, SNAPSHOT, TIMESTAMP, Gun, RoleName, depth_order, gun_problem
from .tuf.parse import ParseError, listed_targets, parse_root, parse_snapshot, parse_targets, parse_timestamp
from .tuf10.names import is_standard

Report = dict[str, Any]

_SHORT = 12
"""Digits of a key ID or digest that people need to tell a few apart."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def listed(repository: Repository) -> Report:
    """One repository in a list: its name, the latest version of every role, stored files and bytes.

    `problem`: why it is not served, though it is stored; None if it is.
    """
    return {
        "gun": repository.gun,
        "problem": gun_problem(repository.gun),
        "versions": {role: repository.latest[role].version for role in _ordered(repository.latest)},
        "files": repository.rows,
        "bytes": repository.size,
    }


def list_as_text(rows: Sequence[Report]) -> str:
    """A table of `listed` rows."""
    if not rows:
        return "no repositories are stored"
    table = [["REPOSITORY", "ROOT", "TARGETS", "SNAPSHOT", "TIMESTAMP", "DELEGATIONS", "FILES", "BYTES"]]
    for row in rows:
        versions = row["versions"]
        base = [str(versions.get(role, "-")) for role in BASE_ROLES]
        delegations = str(sum(role not in BASE_ROLES for role in versions))
        table.append([printable(row["gun"]), *base, delegations, str(row["files"]), str(row["bytes"])])
    marked = [f"{printable(row['gun'])} is not served: {row['problem']}" for row in rows if row["problem"]]
    return "\n".join([columns(table), *marked])


async def read_repository(store: MetadataStore, gun: str) -> Report | None:
    """All there is to show of `gun` in its latest versions, or None if nothing is stored of it.

    Raises:
        notary_server.errors.StoreUnavailable: the database cannot answer.
    """
    name = Gun(gun)
    latest = (await store.trust_state(name, ())).latest
    state = await store.trust_state(name, tuple(latest))
    if not state.latest:
        return None
    if is_standard(state.files.get(ROOT)):
        return standard_report(state, _ordered(state.latest))
    parsed: dict[RoleName, Parsed[Any]] = {}
    roles: list[Report] = []
    for role in _ordered(state.latest):
        summary = state.latest[role]
        entry: Report = {
            "role": role,
            "version": summary.version,
            "bytes": summary.length,
            "sha256": summary.sha256,
            "expires": None,
            "signed_by": [],
        }
        if (data := state.files.get(role)) is not None:
            try:
                parsed[role] = file = _parse(role, data)
            except ParseError as error:
                entry["problem"] = str(error)
            else:
                entry["expires"] = _time(file.body.expires)
                entry["signed_by"] = [signature.keyid for signature in file.signatures]
        roles.append(entry)
    root = parsed.get(ROOT)
    targets = [(role, file.body) for role, file in parsed.items() if isinstance(file.body, Targets)]
    return {
        "gun": gun,
        "roles": roles,
        "keys": _root_keys(root.body) if root is not None else [],
        "delegations": [entry for _, body in targets for entry in _delegations(body)],
        "tags": sorted(
            (entry for role, _ in targets for entry in _tags(role, state.files[role])),
            key=lambda entry: (entry["tag"], depth_order(entry["role"])),
        ),
    }


def show_as_text(report: Report) -> str:
    """`read_repository`'s report for people: short key IDs and digests, one table per subject."""
    parts = [f"Repository {printable(report['gun'])}"]
    rows = [["ROLE", "VERSION", "BYTES", "EXPIRES", "SIGNED BY"]]
    for role in report["roles"]:
        signers = role.get("problem") or _short(role["signed_by"])
        rows.append([role["role"], str(role["version"]), str(role["bytes"]), role["expires"] or "-", signers])
    parts.append(columns(rows))
    if report["keys"]:
        rows = [["SIGNERS OF", "THRESHOLD", "KEYS"]]
        rows += [[entry["role"], str(entry["threshold"]), _keys(entry["keys"])] for entry in report["keys"]]
        parts.append(columns(rows))
    if report["delegations"]:
        rows = [["DELEGATION", "THRESHOLD", "KEYS", "PATHS"]]
        rows += [
            [entry["role"], str(entry["threshold"]), _keys(entry["keys"]), json.dumps(entry["paths"])]
            for entry in report["delegations"]
        ]
        parts.append(columns(rows))
    if report["tags"]:
        rows = [["TAG", "ROLE", "BYTES", "SHA256"]]
        rows += [
            [printable(entry["tag"]), entry["role"], str(entry["bytes"]), entry["sha256"][:_SHORT]]
            for entry in report["tags"]
        ]
        parts.append(columns(rows))
    else:
        parts.append("no tags")
    return "\n\n".join(parts)


def _parse(
    role: RoleName, data: bytes
) -> Parsed[Root] | Parsed[Targets] | Parsed[Snapshot] | Parsed[Timestamp]:
    if role == ROOT:
        return parse_root(data)
    if role == SNAPSHOT:
        return parse_snapshot(data)
    if role == TIMESTAMP:
        return parse_timestamp(data)
    return parse_targets(role, data)


def _root_keys(root: Root) -> list[Report]:
    roles = [role for role in BASE_ROLES if role in root.roles]
    return [
        {
            "role": role,
            "threshold": root.roles[role].threshold,
            "keys": _described(root.roles[role].keyids, root.keys),
        }
        for role in roles
    ]


def _delegations(body: Targets) -> Iterable[Report]:
    for role in body.roles:
        yield {
            "role": role.name,
            "threshold": role.threshold,
            "keys": _described(role.keyids, body.keys),
            "paths": list(role.paths),
        }


def _tags(role: RoleName, data: bytes) -> Iterable[Report]:
    for tag, meta in listed_targets(role, data).items():
        digest = meta.hashes.get("sha256", b"").hex()
        yield {"tag": tag, "role": role, "bytes": meta.length, "sha256": digest}


def _described(key_ids: Sequence[str], keys: Mapping[str, PublicKey]) -> list[Report]:
    return [
        {"id": key_id, "type": keys[key_id].keytype if key_id in keys else "unknown"} for key_id in key_ids
    ]


def _keys(keys: Sequence[Report]) -> str:
    return ", ".join(f"{printable(key['id'][:_SHORT])} ({printable(key['type'])})" for key in keys) or "-"


def _short(key_ids: Sequence[str]) -> str:
    return ", ".join(printable(key_id[:_SHORT]) for key_id in key_ids) or "-"


def _time(nanoseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=nanoseconds // 1_000_000_000)
    except OverflowError:
        return "beyond the year 9999"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ordered(roles: Iterable[RoleName]) -> list[RoleName]:
    """Base roles in their usual order, then delegations from the top down."""
    return sorted(
        roles, key=lambda role: (BASE_ROLES.index(role) if role in BASE_ROLES else 4, depth_order(role))
    )
