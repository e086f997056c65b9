"""Repositories put into a database without being published: plausible files, hashes right, signatures not.

Servers do not verify what they hold when they are asked for it, so these files are good for reading. No two
are alike. The same number gives the same bytes on every side.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import asyncpg

from tests.publisher import entry, expires_in, root_key, travelling

PREFIX = "bench.example.org/"
"""What every repository's name of the bench begins with; one certificate for all names below it will do."""
_INSERT_ROWS = 500
"""Rows in one INSERT: some MB of text, below what MariaDB takes at once."""
_COLUMNS = ("created_at", "updated_at", "gun", "role", "version", "data", "sha256")


@dataclass(frozen=True)
class Gun:
    """A repository: its name and its files by role, every version 1."""

    name: str
    files: dict[str, bytes]

    def digest(self, role: str) -> str:
        """The SHA-256 of a file, as addresses spell it."""
        return hashlib.sha256(self.files[role]).hexdigest()


def name_of(number: int) -> str:
    """The name of repository `number`."""
    return f"{PREFIX}team-{number % 97}/image-{number}"


def gun(number: int, tags: int = 1) -> Gun:
    """Repository `number`, as docker makes one: its tags are in `targets/releases`; it has `tags` of them."""
    keys = {role: _key(role, number) for role in ("targets", "targets/releases", "snapshot", "timestamp")}
    certificate = {"keytype": "ecdsa-x509", "keyval": {"private": None, "public": _certificate()}}
    root_id = _token("root", number)
    base_roles = {"root": root_id} | {role: keys[role][0] for role in ("snapshot", "targets", "timestamp")}
    files = {
        "root": _file(number, root_id, {
            "_type": "Root", "consistent_snapshot": False, "expires": _expires(3650),
            "keys": {root_id: certificate} | {keys[role][0]: keys[role][1] for role in base_roles if role != "root"},
            "roles": {role: {"keyids": [key], "threshold": 1} for role, key in base_roles.items()}, "version": 1,
        }),
        "targets": _file(number, keys["targets"][0], {
            "_type": "Targets", "expires": _expires(1095), "targets": {}, "version": 1,
            "delegations": {
                "keys": dict([keys["targets/releases"]]),
                "roles": [{"keyids": [keys["targets/releases"][0]], "name": "targets/releases", "paths": [""], "threshold": 1}],
            },
        }),
        "targets/releases": _file(number, keys["targets/releases"][0], {
            "_type": "Targets", "delegations": {"keys": {}, "roles": []}, "expires": _expires(1095), "version": 1,
            "targets": {f"v{tag}": entry(f"{number}:{tag}".encode()) for tag in range(tags)},
        }),
    }  # fmt: skip
    snapshot = {"_type": "Snapshot", "expires": _expires(1095), "version": 1}
    files["snapshot"] = _file(
        number, keys["snapshot"][0], snapshot | {"meta": {role: entry(data) for role, data in files.items()}}
    )
    timestamp = {"_type": "Timestamp", "expires": _expires(14), "version": 1}
    files["timestamp"] = _file(
        number, keys["timestamp"][0], timestamp | {"meta": {"snapshot": entry(files["snapshot"])}}
    )
    return Gun(name_of(number), files)


def copy_to_postgres(url: str, guns: Iterable[Gun]) -> None:
    """Put `guns` into Notary's tables of the database at `url`."""

    async def copy() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.copy_records_to_table("tuf_files", columns=_COLUMNS, records=_rows(guns))
            await connection.execute(
                "INSERT INTO changefeed (created_at, gun, version, sha256) SELECT created_at, gun, version, sha256"
                " FROM tuf_files WHERE role = 'timestamp' AND gun NOT IN (SELECT gun FROM changefeed)"
            )
            # Now, so that autovacuum finds nothing to do while something is measured.
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    asyncio.run(copy())


def mysql_statements(guns: Iterable[Gun]) -> Iterator[str]:
    """The statements that put `guns` into Notary's tables of a MySQL or MariaDB."""
    rows = _rows(guns)
    while some := list(islice(rows, _INSERT_ROWS)):
        values = ",".join(
            f"('{made}','{made}','{name}','{role}',{version},X'{data.hex()}','{sha256}')"
            for made, _, name, role, version, data, sha256 in some
        )
        yield f"INSERT INTO tuf_files ({','.join(_COLUMNS)}) VALUES {values};"
    yield "INSERT INTO changefeed (gun, version, sha256) SELECT gun, version, sha256 FROM tuf_files WHERE role = 'timestamp';"


def _rows(guns: Iterable[Gun]) -> Iterator[tuple[Any, ...]]:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    for one in guns:
        for role, data in one.files.items():
            yield now, now, one.name, role, 1, data, one.digest(role)


def _file(number: int, key_id: str, signed: dict[str, Any]) -> bytes:
    signature = {"keyid": key_id, "method": "ecdsa", "sig": _base64(f"signature {key_id} {number}", 88)}
    return b'{"signed":' + travelling(signed) + b',"signatures":[' + travelling(signature) + b"]}"


def _key(role: str, number: int) -> tuple[str, dict[str, Any]]:
    public = {"private": None, "public": _base64(f"key {role} {number}", 124)}
    return _token(role, number), {"keytype": "ecdsa", "keyval": public}


def _token(role: str, number: int) -> str:
    return hashlib.sha256(f"id {role} {number}".encode()).hexdigest()


def _base64(seed: str, length: int) -> str:
    """So many characters that look like base64 and compress as badly."""
    return base64.b64encode(hashlib.shake_128(seed.encode()).digest(length * 3 // 4)).decode()


@cache
def _certificate() -> str:
    return base64.b64encode(root_key(PREFIX + "*").public).decode()


@cache
def _expires(days: int) -> str:
    """The same for every file of one kind, so that a number gives the same bytes whenever it is asked for."""
    return expires_in(days)
