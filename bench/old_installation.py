"""Thousands of repositories as a Notary 0.7.0 leaves them behind, put into its databases: every signature is right,
and the keys of the server are in the signer's table, encrypted as Notary's signer does.

What takes long is done once: one root key and one targets key sign for all repositories, and one salt serves all rows,
so that the passphrase has to be stretched once. Whoever opens the rows notices nothing of that, and has to stretch it
for each.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import asyncmy.connection
import asyncpg
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.publisher import Key, Publisher, root_key
from tests.publisher.files import LIFETIME_DAYS, entry, expires_in, signed_file
from tests.publisher.keys import ecdsa_key

PREFIX = "bench.example.org/"
PASSPHRASE = "a pass phrase for the bench"
ALIAS = "alias1"
AT_ONCE = 2000
"""Repositories that are made and written together."""
_ROUNDS = 8192
_FILES = ("created_at", "updated_at", "gun", "role", "version", "data", "sha256")
_KEYS = (
    "created_at", "updated_at", "key_id", "encryption_alg", "keywrap_alg", "algorithm", "passphrase_alias", "public",
    "private", "gun", "role", "last_used",
)  # fmt: skip


class Tables(Protocol):
    """The tables of an old daemon."""

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Add rows, and keep them."""

    async def run(self, statement: str) -> None:
        """Run a statement that gives nothing back, and keep what it did."""


class PostgresTables:
    """By COPY."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """See `Tables.add`."""
        await self._connection.copy_records_to_table(table, columns=columns, records=rows)

    async def run(self, statement: str) -> None:
        """See `Tables.run`."""
        await self._connection.execute(statement)


class MysqlTables:
    """By INSERTs of many rows."""

    def __init__(self, connection: asyncmy.connection.Connection) -> None:
        self._connection = connection

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """See `Tables.add`."""
        places = ", ".join(["%s"] * len(columns))
        async with self._connection.cursor() as cursor:
            await cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)
        await self._connection.commit()

    async def run(self, statement: str) -> None:
        """See `Tables.run`."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(statement)
        await self._connection.commit()


class Sealer:
    """Encrypts private keys under `PASSPHRASE` as Notary's signer does, but all with one salt."""

    def __init__(self) -> None:
        salt = os.urandom(12)
        header = {
            "alg": "PBES2-HS256+A128KW",
            "enc": "A256GCM",
            "p2c": _ROUNDS,
            "p2s": _base64url(salt).decode(),
        }
        self._header = _base64url(json.dumps(header, separators=(",", ":")).encode())
        self._kek = hashlib.pbkdf2_hmac(
            "sha256", PASSPHRASE.encode(), b"PBES2-HS256+A128KW\0" + salt, _ROUNDS, 16
        )

    def seal(self, key: Key) -> bytes:
        """The private half as the table has it."""
        assert isinstance(key.private, ec.EllipticCurvePrivateKey)
        plain = key.private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        content_key, iv = os.urandom(32), os.urandom(12)
        sealed = AESGCM(content_key).encrypt(iv, plain, self._header)
        parts = (aes_key_wrap(self._kek, content_key), iv, sealed[:-16], sealed[-16:])
        return b".".join((self._header, *(_base64url(part) for part in parts)))


@dataclass
class Installation:
    """Makes repositories; the same root and targets key for all."""

    owner: Publisher = field(default_factory=lambda: Publisher(PREFIX, root=root_key(PREFIX + "*")))
    sealer: Sealer = field(default_factory=Sealer)

    async def fill(self, server: Tables, signer: Tables, number: int) -> None:
        """Put so many repositories into Notary's own tables."""
        for begin in range(0, number, AT_ONCE):
            made = [self._repository(n) for n in range(begin, min(begin + AT_ONCE, number))]
            await server.add("tuf_files", _FILES, [row for rows, _ in made for row in rows])
            await signer.add("private_keys", _KEYS, [row for _, rows in made for row in rows])
        await server.run(
            "INSERT INTO changefeed (created_at, gun, version, sha256) SELECT created_at, gun, version, sha256 "
            "FROM tuf_files WHERE role = 'timestamp' ORDER BY id"
        )
        await server.run(
            "VACUUM ANALYZE" if isinstance(server, PostgresTables) else "ANALYZE TABLE tuf_files"
        )
        await signer.run(
            "VACUUM ANALYZE" if isinstance(signer, PostgresTables) else "ANALYZE TABLE private_keys"
        )

    def _repository(self, number: int) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
        """Rows of `tuf_files` and of `private_keys`."""
        gun = f"{PREFIX}team-{number % 97}/image-{number}"
        snapshot_key, timestamp_key = ecdsa_key(), ecdsa_key()
        self.owner.server_keys = {"snapshot": snapshot_key.object, "timestamp": timestamp_key.object}
        files = {
            "root": self.owner.root(1),
            "targets": self.owner.targets(1, targets={f"v{number}": entry(b"content")}),
        }
        files["snapshot"] = _listing("snapshot", files, snapshot_key)
        files["timestamp"] = _listing("timestamp", {"snapshot": files["snapshot"]}, timestamp_key)
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        rows: list[tuple[object, ...]] = [
            (now, now, gun, role, 1, data, hashlib.sha256(data).hexdigest()) for role, data in files.items()
        ]
        return rows, list(self._keys(gun, now, {"snapshot": snapshot_key, "timestamp": timestamp_key}))

    def _keys(self, gun: str, now: dt.datetime, keys: dict[str, Key]) -> Iterator[tuple[object, ...]]:
        for role, key in keys.items():
            algorithms = ("A256GCM", "PBES2-HS256+A128KW", "ecdsa")
            yield now, now, key.id, *algorithms, ALIAS, key.public, self.sealer.seal(key), gun, role, now


def _listing(role: str, files: dict[str, bytes], key: Key) -> bytes:
    signed = {
        "_type": role.capitalize(),
        "expires": expires_in(LIFETIME_DAYS[role]),
        "meta": {name: entry(data) for name, data in files.items()},
        "version": 1,
    }
    return signed_file(signed, [key])


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
