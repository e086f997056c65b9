"""Turns answers into values that two servers can be compared by: what differs by nature is named, not kept."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from typing import Any

from tests.publisher import Reply, Verifier, canonical
from tests.publisher.files import envelope
from tests.publisher.verifier import moment, verifies

from .case import Stage
from .freedoms import plain_detail, plain_last_modified

_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_NANOSECONDS = re.compile(r".*T\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")


def answer(reply: Reply, stage: Stage) -> dict[str, Any]:
    """Status, error, headers and body of one answer."""
    told: dict[str, Any] = {
        "status": reply.status,
        "type": reply.headers.get("content-type"),
        "cache": reply.headers.get("cache-control"),
        "pragma": reply.headers.get("pragma"),
        "modified": plain_last_modified(stage.side, reply.headers.get("last-modified")),
    }
    if reply.code is not None:
        told |= {"code": reply.code, "detail": plain_detail(reply)}
    else:
        told["body"] = body(reply.body, stage)
    return told


def body(data: bytes, stage: Stage) -> Any:
    """A body: the label of a file that was sent, else what it says."""
    label = stage.files.get(hashlib.sha256(data).hexdigest())
    if label is not None:
        return label
    try:
        document = json.loads(data)
    except ValueError:
        return data
    if isinstance(document, dict):
        if "signed" in document:
            return _metadata(data, document, stage)
        if "keytype" in document:
            return _key(document)
        if "records" in document:
            return _changefeed(document, stage)
    return document


def _key(document: dict[str, Any]) -> dict[str, Any]:
    public = base64.b64decode(document["keyval"]["public"])
    size = len(public)
    return {"key": document["keytype"], "bytes": size, "private": document["keyval"].get("private", "absent")}


def _days_left(text: str) -> float:
    left = moment(text) - dt.datetime.now(dt.UTC)
    return round(left / dt.timedelta(days=1), 2)


def _entries(meta: dict[str, Any], stage: Stage) -> dict[str, Any]:
    told = {}
    for name, listed in meta.items():
        digest = base64.b64decode(listed["hashes"]["sha256"]).hex()
        told[name] = {"hashes": sorted(listed["hashes"]), "file": stage.files.get(digest, "unknown")}
        told[name]["members"] = sorted(listed)
    return told


def _signatures(document: dict[str, Any], stage: Stage) -> list[Any]:
    message = canonical(document["signed"])
    objects = stage.pub.server_keys.values() if hasattr(stage, "pub") else []
    told = []
    for one in document["signatures"]:
        sig = base64.b64decode(one["sig"])
        good = any(verifies(key, one["method"], sig, message) for key in objects)
        told.append((stage.keys.get(one["keyid"], "unknown"), one["method"], len(sig), good))
    return sorted(told)


def _metadata(data: bytes, document: dict[str, Any], stage: Stage) -> dict[str, Any]:
    signed = document["signed"]
    return {
        "type": signed["_type"],
        "members": sorted(signed),
        "version": signed["version"],
        "days": _days_left(signed["expires"]),
        "nanoseconds": bool(_NANOSECONDS.fullmatch(signed["expires"])),
        "meta": _entries(signed.get("meta", {}), stage),
        "signatures": _signatures(document, stage),
        "travelling": data == envelope(signed, document["signatures"]),
    }


def _changefeed(document: dict[str, Any], stage: Stage) -> dict[str, Any]:
    told = []
    for record in document["records"]:
        assert isinstance(record["ID"], str), record
        assert int(record["ID"]) > 0, record
        assert _CREATED.fullmatch(record["CreatedAt"]), record
        digest = record["SHA256"].strip()
        mine = record["GUN"] == stage.gun
        told.append(
            (
                mine,
                record["Version"],
                stage.files.get(digest, "unknown" if digest else ""),
                record["Category"],
            )
        )
    ids = [int(record["ID"]) for record in document["records"]]
    return {"count": document["count"], "records": told, "rising": ids == sorted(set(ids))}


def learn_made(stage: Stage) -> None:
    """Give the timestamp and snapshot that are current now a label, so that whatever lists them can say so."""
    for role in ("timestamp", "snapshot"):
        reply = stage.read(f"{role}.json")
        if reply.status == 200:
            version = reply.json["signed"]["version"]
            stage.files.setdefault(hashlib.sha256(reply.body).hexdigest(), f"made {role} v{version}")


def repository(stage: Stage) -> dict[str, Any]:
    """All that a strict client sees of the repository, and its changefeed."""
    found = Verifier(stage.client, stage.gun).walk()
    told: dict[str, Any] = {"problems": sorted(found.problems)}
    made = dict(stage.files)
    for role in ("snapshot", "timestamp"):
        if role in found.data:
            version = found.signed[role]["version"]
            made.setdefault(hashlib.sha256(found.data[role]).hexdigest(), f"made {role} v{version}")
    unlabelled, stage.files = stage.files, made
    for role, data in found.data.items():
        label = unlabelled.get(hashlib.sha256(data).hexdigest())
        told[role] = label if label is not None else _metadata(data, json.loads(data), stage)
    told["changes"] = body(stage.client.changes(stage.gun).body, stage)
    return told
