"""What an operator sees of a TUF 1.0 repository, in the same form as of one in Notary's dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuf.api.metadata import Key, Root, Targets

from .tuf.model import TrustState
from .tuf.names import BASE_ROLES, RoleName
from .tuf10.delegations import delegated
from .tuf10.file import BadFileError, StandardFile

Report = dict[str, Any]


def standard_report(state: TrustState, ordered: Sequence[RoleName]) -> Report:
    """Roles, signers, delegations and targets; `state` has the bytes of every role."""
    report: Report = {"gun": state.gun, "roles": [], "keys": [], "delegations": [], "tags": []}
    for role in ordered:
        summary = state.latest[role]
        entry: Report = {
            "role": role,
            "version": summary.version,
            "bytes": summary.length,
            "sha256": summary.sha256,
        }
        report["roles"].append(entry | {"expires": None, "signed_by": []})
        try:
            metadata = StandardFile(role, state.files[role]).metadata
        except BadFileError as error:
            report["roles"][-1]["problem"] = str(error)
            continue
        body = metadata.signed
        report["roles"][-1] |= {
            "expires": body.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "signed_by": list(metadata.signatures),
        }
        if isinstance(body, Root):
            report["keys"] = list(_root_keys(body))
        elif isinstance(body, Targets):
            report["delegations"] += _delegations(body)
            report["tags"] += _targets(role, body)
    report["tags"].sort(key=lambda entry: (entry["tag"], entry["role"]))
    return report


def _root_keys(root: Root) -> Iterator[Report]:
    for name in BASE_ROLES:
        role = root.roles[name]
        yield {"role": name, "threshold": role.threshold, "keys": _described(role.keyids, root.keys)}


def _delegations(body: Targets) -> Iterator[Report]:
    for name in delegated(body):
        role = body.get_delegated_role(name)
        paths = getattr(role, "paths", None) or [
            f"hash {each}" for each in getattr(role, "path_hash_prefixes", None) or []
        ]
        keys = body.delegations.keys if body.delegations is not None else {}
        yield {
            "role": name,
            "threshold": role.threshold,
            "keys": _described(role.keyids, keys),
            "paths": paths,
        }


def _targets(role: RoleName, body: Targets) -> Iterator[Report]:
    for path, target in body.targets.items():
        yield {"tag": path, "role": role, "bytes": target.length, "sha256": target.hashes.get("sha256", "")}


def _described(keyids: Sequence[str], keys: Mapping[str, Key]) -> list[Report]:
    return [{"id": keyid, "type": keys[keyid].keytype if keyid in keys else "unknown"} for keyid in keyids]
