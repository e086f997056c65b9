"""Keys of an old signer come in as they were, once, or are refused with a reason; and go back only as they may."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from notary_common.database import Database, open_database, parse_url
from notary_common.database.engine import EngineDatabase
from notary_common.migrate import upgrade_engine
from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import AuditUnavailable, TokenFault, TokenUnavailable
from notary_signer.ports import KeyRecord, NewKey, PrivatePart
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.imports import SqlImports
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.takeover import jwe
from notary_signer.takeover.export_keys import KeyExport
from notary_signer.takeover.import_keys import ImportingToken, KeyImport
from notary_signer.takeover.jwe import open_jwe, seal_jwe
from notary_signer.takeover.passphrases import WELL_KNOWN, Passphrases
from notary_signer.takeover.private_half import (
    PrivateHalf,
    pkcs8,
    public_half,
    read_private_half,
    write_private_half,
)
from notary_signer.takeover.report import Report
from notary_signer.takeover.source import OldKey, OldKeys
from notary_signer.takeover.target import OldTable, SealedKey
from notary_signer.token.hardware import HardwareToken

from .journal import Notes

ALIAS = "alias1"
PASSPHRASE = b"correct horse"
MADE = datetime(2019, 1, 2, 3, 4, 5, tzinfo=UTC)
USED = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def new(algorithm: Algorithm = "ecdsa") -> PrivateHalf:
    """A key as an old signer makes it."""
    match algorithm:
        case "ecdsa":
            return ec.generate_private_key(ec.SECP256R1())
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()


def sealed(
    private: PrivateHalf, algorithm: Algorithm = "ecdsa", passphrase: bytes = PASSPHRASE, **changed: Any
) -> SealedKey:
    """Its row in the old table; `changed` members are other than they should be."""
    public = public_half(private)
    row = SealedKey(
        key_id=encoding.key_id(algorithm, public),
        algorithm=algorithm,
        alias=ALIAS,
        public=public,
        private=seal_jwe(write_private_half(private), passphrase, os.urandom),
        gun="a/b",
        role="timestamp",
        created_at=MADE,
        last_used=USED,
    )
    return replace(row, **changed)


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Database]:
    """An old signer's database."""
    database = open_database(parse_url("sqlite3", "old.db", tmp_path))
    assert isinstance(database, EngineDatabase)
    await upgrade_engine(database.engine, "signer", lambda _: None)
    yield database
    await database.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Database]:
    """A registry in SQLite, for what databases have no say in."""
    database = open_database(parse_url("sqlite3", "here.db", tmp_path))
    assert isinstance(database, EngineDatabase)
    await upgrade_engine(database.engine, "signer", lambda _: None)
    yield database
    await database.close()


class FakeToken:
    """Takes keys in and lets them out, until it breaks.

    Attributes:
        calls: how many keys were to be taken in.
        breaks_at: the call at which it is not there any more.
        fault: why it takes none.
        wrong: whether it makes other keys of them.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.breaks_at: int | None = None
        self.fault: str | None = None
        self.wrong = False
        self.discarded: list[NewKey] = []
        self.inside: dict[str, bytes] = {}

    async def import_key(self, algorithm: Algorithm, private: bytes, public: bytes, label: str) -> NewKey:
        """See `ImportingToken.import_key`."""
        self.calls += 1
        if self.fault is not None:
            raise TokenFault(self.fault)
        if self.calls == self.breaks_at:
            raise TokenUnavailable("the token is gone")
        key_id = "f" * 64 if self.wrong else encoding.key_id(algorithm, public)
        self.inside[key_id] = private
        return NewKey(key_id, algorithm, public, PrivatePart("wrapped", "notary-kek-1", b"wrapped"))

    async def discard(self, key: NewKey) -> None:
        """See `ImportingToken.discard`."""
        self.discarded.append(key)

    async def export_key(self, key: KeyRecord) -> bytes:
        """See `ExportingToken.export_key`."""
        if key.key_id not in self.inside:
            raise TokenFault("the key is resident in the token, which does not let it out")
        return self.inside[key.key_id]


async def run(
    old: Database,
    database: Database,
    token: ImportingToken,
    *,
    passphrases: Passphrases | None = None,
    journal: Any = None,
) -> Report:
    """One import."""
    known = passphrases or Passphrases({ALIAS: PASSPHRASE})
    return await KeyImport(OldKeys(old), SqlImports(database), token, journal or Notes(), known).run(
        lambda _: None
    )


def outcomes(report: Report) -> list[tuple[str, str]]:
    """Outcome and reason of each key."""
    return [(finding.outcome, finding.reason) for finding in report.findings]


async def test_keys_of_all_kinds_come_in_and_sign(
    old: Database, database: Database, token: HardwareToken
) -> None:
    """With their times: one that has never signed is handed out again, another is active; a second run does nothing."""
    kinds: tuple[Algorithm, ...] = ("ecdsa", "rsa", "ed25519")
    keys = [sealed(new(kind), kind, gun=kind) for kind in kinds]
    pending = sealed(new(), gun="not/yet", last_used=None)
    await OldTable(old).add([*keys, pending])
    report = await run(old, database, token)
    assert outcomes(report) == [("moved", "")] * 4
    assert outcomes(await run(old, database, token)) == [("present", "")] * 4
    registry = SqlRegistry(database, lambda _: None)
    for key, kind in zip(keys, kinds, strict=True):
        record = await registry.get(key.key_id)
        assert record is not None
        assert (record.state, record.last_used, record.gun, record.role) == (
            "active",
            USED,
            kind,
            "timestamp",
        )
        signature = await token.sign(record.key_id, kind, record.private, b"payload")
        assert encoding.verifies(kind, key.public, signature, b"payload")
    again = await registry.unused("not/yet", "timestamp", "ecdsa")
    assert again is not None
    assert again.key_id == pending.key_id
    entries = await SqlCatalogue(database).entries()
    assert {entry.created_at for entry in entries} == {MADE}
    assert await SqlCatalogue(database).abandoned(datetime(2025, 1, 1, tzinfo=UTC), 10) == []


async def test_exposed_keys_are_opened_and_named(
    old: Database, here: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passphrase that everybody knows, the derivation that went wrong, and both."""
    known, mistaken, both, sound = new(), new(), new(), new()
    rows = [sealed(known, passphrase=WELL_KNOWN), sealed(sound)]
    with monkeypatch.context() as patched:
        patched.setattr(jwe, "_standard", jwe._go_1_15)
        rows += [sealed(mistaken), sealed(both, passphrase=WELL_KNOWN)]
    await OldTable(old).add(rows)
    report = await run(old, here, FakeToken())
    assert [finding.exposures for finding in report.findings] == [
        ("well-known passphrase",),
        (),
        ("go-1.15 derivation",),
        ("well-known passphrase", "go-1.15 derivation"),
    ]
    assert report.complete
    assert "exposed: 3 keys must be taken for known to others" in report.as_text()
    assert report.as_json()["exposed"] == {"well-known passphrase": 2, "go-1.15 derivation": 2}


async def test_what_cannot_be_had_is_refused_with_the_reason(old: Database, here: Database) -> None:
    """Nothing of it is stored, and what is sound beside it is."""
    weak = rsa.generate_private_key(65537, 1024)
    other = public_half(new())
    rows = [
        sealed(new()),
        sealed(new(), passphrase=b"another"),
        replace(sealed(new()), private=b"not a JWE"),
        sealed(new(), public=other),
        sealed(new(), key_id="0" * 64),
        replace(sealed(new()), algorithm="ecdsa-x509"),
        sealed(weak, "rsa"),
        sealed(new(), gun=""),
        sealed(new(), role="targets"),
    ]
    await OldTable(old).add(rows)
    report = await run(old, here, FakeToken())
    found = outcomes(report)
    assert [outcome for outcome, _ in found] == ["moved", *["refused"] * 7, "skipped"]
    reasons = [reason for _, reason in found]
    assert "NOTARY_SIGNER_ALIAS1" in reasons[1]
    assert "does not have the five parts" in reasons[2]
    assert "does not belong to the public key" in reasons[3]
    assert "key ID is not that" in reasons[4]
    assert "'ecdsa-x509'" in reasons[5]
    assert "fewer than 2048 bits" in reasons[6]
    assert "names no repository" in reasons[7]
    assert not report.complete
    assert len(await SqlCatalogue(here).entries()) == 1


async def test_rows_that_are_not_wanted_are_skipped(old: Database, here: Database) -> None:
    """What the old signer had deleted, and what another program made."""
    await OldTable(old).add([sealed(new()), sealed(new())])
    assert isinstance(old, EngineDatabase)
    async with old.engine.begin() as connection:
        await connection.execute(
            sa.text("UPDATE private_keys SET deleted_at = '2020-01-01 00:00:00.000000' WHERE id = 1")
        )
        await connection.execute(sa.text("UPDATE private_keys SET encryption_alg = 'X' WHERE id = 2"))
    token = FakeToken()
    assert [outcome for outcome, _ in outcomes(await run(old, here, token))] == ["skipped", "skipped"]
    assert token.calls == 0


async def test_a_registry_with_the_old_signers_rows(old: Database, here: Database) -> None:
    """It is given a database of its own, as the sentence says."""
    row = sealed(new())
    await OldTable(old).add([row])
    await OldTable(here).add([row])
    ((outcome, reason),) = outcomes(await run(old, here, FakeToken()))
    assert (outcome, "give this signer another database" in reason) == ("refused", True)


async def test_another_key_under_the_same_id(old: Database, here: Database) -> None:
    """A key that is here for another repository is not made to sign for two."""
    row = sealed(new())
    await OldTable(old).add([row])
    await run(old, here, FakeToken())
    registry = SqlImports(here)
    ((key_id, record),) = (await registry.known([row.key_id])).items()
    assert record is not None
    assert (key_id, record.gun) == (row.key_id, "a/b")
    assert isinstance(old, EngineDatabase)
    async with old.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE private_keys SET gun = 'elsewhere'"))
    ((outcome, reason),) = outcomes(await run(old, here, FakeToken()))
    assert (outcome, "another key under that ID" in reason) == ("refused", True)


async def test_a_token_that_breaks_in_between(old: Database, here: Database) -> None:
    """What was taken in by then is stored; the next run does the rest."""
    await OldTable(old).add([sealed(new()) for _ in range(5)])
    token = FakeToken()
    token.breaks_at = 3
    with pytest.raises(TokenUnavailable):
        await run(old, here, token)
    stored = len(await SqlCatalogue(here).entries())
    assert stored == 4
    found = [outcome for outcome, _ in outcomes(await run(old, here, FakeToken()))]
    assert (found.count("present"), found.count("moved")) == (4, 1)


async def test_keys_that_the_token_does_not_take(old: Database, here: Database) -> None:
    """Its own words are the reason; a key that became another one is thrown away."""
    await OldTable(old).add([sealed(new())])
    token = FakeToken()
    token.fault = "the token takes no ecdsa keys from outside"
    assert outcomes(await run(old, here, token)) == [("refused", token.fault)]
    token.fault, token.wrong = None, True
    assert outcomes(await run(old, here, token)) == [("refused", "the token made another key of it")]
    assert [key.key_id for key in token.discarded] == ["f" * 64]


class Silent:
    """An audit log that cannot be written."""

    async def append(self, *_: Any, **__: Any) -> None:
        """See `Journal.append`."""
        raise AuditUnavailable("the disk is full")


async def test_no_key_without_its_record(old: Database, here: Database) -> None:
    """If the audit log cannot be written, nothing is stored."""
    await OldTable(old).add([sealed(new())])
    with pytest.raises(AuditUnavailable):
        await run(old, here, FakeToken(), journal=Silent())
    assert await SqlCatalogue(here).entries() == []


async def exported(
    old: Database, database: Database, token: FakeToken, journal: Any = None
) -> tuple[Report, Sequence[OldKey]]:
    """One export of all keys, and the old table afterwards."""
    entries = await SqlCatalogue(database).entries()
    registry = SqlRegistry(database, lambda _: None)
    export = KeyExport(registry, token, OldTable(old), journal or Notes(), "alias2", b"a new passphrase")
    return await export.run(entries, lambda _: None), await OldKeys(old).page(0)


async def test_keys_go_back_as_the_old_signer_reads_them(old: Database, database: Database) -> None:
    """Those that it lacks, under the alias and passphrase that were named; retired and resident ones stay."""
    token, imports = FakeToken(), SqlImports(database)
    there = sealed(new())
    await OldTable(old).add([there])
    await run(old, database, token)
    made, retired, resident = new(), new(), new()
    registry = SqlRegistry(database, lambda _: None)
    for private, gun in ((made, "made"), (retired, "retired"), (resident, "resident")):
        public = public_half(private)
        part = PrivatePart("wrapped", "notary-kek-1", b"wrapped")
        key = NewKey(encoding.key_id("ecdsa", public), "ecdsa", public, part)
        await registry.add_unless_unused(key, gun, "snapshot")
        if private is not resident:
            token.inside[key.key_id] = pkcs8(private)
        if private is retired:
            await registry.retire(key.key_id)
    journal = Notes()
    report, rows = await exported(old, database, token, journal)
    assert [finding.outcome for finding in report.findings] == ["present", "moved", "skipped", "refused"]
    assert "does not let it out" in report.findings[-1].reason
    assert journal.said == [("export_key", "done")]
    row = rows[-1]
    assert (len(rows), row.gun, row.role, row.alias, row.last_used) == (2, "made", "snapshot", "alias2", None)
    opened = open_jwe(row.private, b"a new passphrase")
    assert opened.plaintext == write_private_half(made)
    assert public_half(read_private_half("ecdsa", opened.plaintext)) == row.public
    assert await imports.known([row.key_id])
    assert row.private not in repr(row).encode()


async def test_nothing_leaves_without_its_record(old: Database, here: Database) -> None:
    """The record comes before the key is anywhere outside of the token."""
    token = FakeToken()
    await OldTable(old).add([sealed(new())])
    await run(old, here, token)
    assert isinstance(old, EngineDatabase)
    async with old.engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM private_keys"))
    with pytest.raises(AuditUnavailable):
        await exported(old, here, token, Silent())
    assert await OldKeys(old).page(0) == []
