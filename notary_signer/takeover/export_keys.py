"""Write keys back into the form of Notary's own signer: out of the token, under a passphrase, into its table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from notary_signer.errors import TokenFault
from notary_signer.ports import Journal, KeyEntry, KeyRecord

from .jwe import seal_jwe
from .private_half import UnfitKey, check_private_half, read_pkcs8, write_private_half
from .report import Finding, Report
from .source import PAGE
from .target import OldTable, SealedKey


class ExportingToken(Protocol):
    """What exporting needs of the token. Raises as `ports.Token`."""

    async def export_key(self, key: KeyRecord) -> bytes:
        """The private key as PKCS#8 (DER).

        Raises:
            TokenFault: the token does not let it out: a resident key, or a token that forbids it.
        """


class ExportingRegistry(Protocol):
    """What exporting needs of the registry. Raises as `ports.KeyRegistry`."""

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `ports.KeyRegistry.get`."""


class KeyExport:
    """One run. Keys that the old table has already are left as they are."""

    def __init__(
        self,
        registry: ExportingRegistry,
        token: ExportingToken,
        target: OldTable,
        journal: Journal,
        alias: str,
        passphrase: bytes,
    ) -> None:
        """
        Args:
            alias: the name under which the old signer finds the passphrase.
            passphrase: what the keys are encrypted under.
        """
        self._registry = registry
        self._token = token
        self._target = target
        self._journal = journal
        self._alias = alias
        self._passphrase = passphrase

    async def run(self, entries: Sequence[KeyEntry], progress: Callable[[int], None]) -> Report:
        """Export these keys; those that sign no more, or are not ours, are skipped.

        Raises:
            SignerError: token, registry or audit log cannot be used; what was done so far stays.
            DatabaseError: the old table cannot be written.
        """
        report = Report("exported")
        for begin in range(0, len(entries), PAGE):
            page = entries[begin : begin + PAGE]
            report.findings += await self._page(page)
            progress(len(page))
        return report

    async def _page(self, page: Sequence[KeyEntry]) -> list[Finding]:
        there = await self._target.known([entry.key_id for entry in page])
        findings: list[Finding] = []
        sealed: list[SealedKey] = []
        for entry in page:
            finding, key = await self._one(entry, entry.key_id in there)
            findings.append(finding)
            if key is not None:
                # Before it is anywhere outside the token.
                await self._record(finding)
                sealed.append(key)
        await self._target.add(sealed)
        return findings

    async def _one(self, entry: KeyEntry, there: bool) -> tuple[Finding, SealedKey | None]:
        if there:
            return Finding(entry.key_id, entry.gun, entry.role, "present"), None
        record = await self._registry.get(entry.key_id) if entry.state in {"pending", "active"} else None
        if record is None:
            return _skipped(entry, f"the key is {entry.state}"), None
        try:
            pkcs8 = await self._token.export_key(record)
            private = read_pkcs8(record.algorithm, pkcs8)
            check_private_half(private, record.algorithm, record.public, record.key_id)
        except (TokenFault, UnfitKey) as problem:
            return Finding(entry.key_id, entry.gun, entry.role, "refused", str(problem)), None
        jwe = await asyncio.to_thread(seal_jwe, write_private_half(private), self._passphrase, os.urandom)
        key = SealedKey(
            key_id=record.key_id,
            algorithm=record.algorithm,
            alias=self._alias,
            public=record.public,
            private=jwe,
            gun=record.gun,
            role=record.role,
            created_at=entry.created_at,
            last_used=record.last_used,
        )
        return Finding(entry.key_id, entry.gun, entry.role, "moved"), key

    async def _record(self, finding: Finding) -> None:
        await self._journal.append(
            "export_key", "done", gun=finding.gun, role=finding.role, key_id=finding.key_id
        )


def _skipped(entry: KeyEntry, reason: str) -> Finding:
    return Finding(entry.key_id, entry.gun, entry.role, "skipped", reason)
