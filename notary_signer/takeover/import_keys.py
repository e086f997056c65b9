"""Bring the keys of an old signer into the token: open, check, import, prove, store; page by page, as often as needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, cast, get_args

from notary_common.wire import Algorithm, OnlineRole
from notary_signer.errors import TokenFault
from notary_signer.ports import Journal, KeyRecord, NewKey
from notary_signer.registry.imports import ImportedKey

from .jwe import NotAJwe, Opened, WrongPassphrase, open_jwe
from .passphrases import WELL_KNOWN, Passphrases
from .private_half import UnfitKey, check_private_half, pkcs8, read_private_half
from .report import Exposure, Finding, Outcome, Report
from .source import OldKey, OldKeys

NOTARYS: Final = "A256GCM"
"""`encryption_alg` of rows that Notary's signer made."""
AT_ONCE: Final = 8
"""Keys that the token is asked for at the same time, so that it never waits for this program."""


class ImportingToken(Protocol):
    """What importing needs of the token. Raises as `ports.Token`."""

    async def import_key(self, algorithm: Algorithm, private: bytes, public: bytes, label: str) -> NewKey:
        """Take a private key (PKCS#8, DER) in, keep it as new keys are kept, and prove that it signs for `public`.

        A resident key that the token has already, because an earlier run broke off, is not taken in twice.
        """

    async def discard(self, key: NewKey) -> None:
        """See `ports.Token.discard`."""


class ImportingRegistry(Protocol):
    """What importing needs of the registry. Raises as `ports.KeyRegistry`."""

    async def known(self, key_ids: Sequence[str]) -> dict[str, KeyRecord | None]:
        """Those of `key_ids` that have a row: its record, in whatever state; None if it is another program's."""

    async def add_imported(self, keys: Sequence[ImportedKey]) -> None:
        """Store all of them durably, or none; the times are those of their old rows."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A key that was opened and is what its row says."""

    old: OldKey
    algorithm: Algorithm
    role: OnlineRole
    private: bytes = field(repr=False)
    exposures: tuple[Exposure, ...]


class KeyImport:
    """One run. Nothing is done twice: keys that are in the registry already are left as they are."""

    def __init__(
        self,
        source: OldKeys,
        registry: ImportingRegistry,
        token: ImportingToken,
        journal: Journal,
        passphrases: Passphrases,
    ) -> None:
        self._source = source
        self._registry = registry
        self._token = token
        self._journal = journal
        self._passphrases = passphrases
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, progress: Callable[[int], None]) -> Report:
        """Import all rows; may be broken off and run again at any time.

        Args:
            progress: is told how many rows more are done.

        Raises:
            SignerError: token, registry or audit log cannot be used; what was done so far stays.
            DatabaseError: the source cannot be read.
        """
        report, after = Report("imported"), 0
        while page := await self._source.page(after):
            report.findings += await self._page(page)
            after = page[-1].id
            progress(len(page))
        return report

    async def _page(self, page: Sequence[OldKey]) -> list[Finding]:
        known = await self._registry.known([old.key_id for old in page])
        results = await asyncio.gather(*(self._one(old, known) for old in page), return_exceptions=True)
        imported: list[ImportedKey] = []
        findings: list[Finding] = []
        for result in results:
            if isinstance(result, BaseException):
                continue
            finding, key = result
            findings.append(finding)
            if key is not None:
                imported.append(key)
        # Before anybody can sign with them: a record of what then failed is better than a key without one.
        for finding in findings:
            await self._record(finding)
        await self._registry.add_imported(imported)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return findings

    async def _one(
        self, old: OldKey, known: dict[str, KeyRecord | None]
    ) -> tuple[Finding, ImportedKey | None]:
        finding = _unwanted(old, known)
        if finding is not None:
            return finding, None
        async with self._turns:
            # It costs thousands of rounds of a hash, which run beside others without the interpreter's lock.
            candidate = await asyncio.to_thread(_open, old, self._passphrases)
            if isinstance(candidate, Finding):
                return candidate, None
            return await self._take_in(candidate)

    async def _take_in(self, candidate: _Candidate) -> tuple[Finding, ImportedKey | None]:
        old = candidate.old
        try:
            key = await self._token.import_key(
                candidate.algorithm, candidate.private, old.public, f"{old.gun} {old.role}"
            )
        except TokenFault as error:
            return _finding(old, "refused", error.message), None
        if key.key_id != old.key_id:
            await self._token.discard(key)
            return _finding(old, "refused", "the token made another key of it"), None
        finding = Finding(old.key_id, old.gun, old.role, "moved", exposures=candidate.exposures)
        return finding, ImportedKey(key, old.gun, candidate.role, old.created_at, old.last_used)

    async def _record(self, finding: Finding) -> None:
        if finding.outcome not in {"moved", "refused"}:
            return
        await self._journal.append(
            "import_key",
            "done" if finding.outcome == "moved" else "refused",
            reason=finding.reason or ", ".join(finding.exposures),
            gun=finding.gun,
            role=finding.role,
            key_id=finding.key_id,
        )


def _unwanted(old: OldKey, known: dict[str, KeyRecord | None]) -> Finding | None:
    """Why a row need not even be opened, if so."""
    if old.encryption != NOTARYS:
        return _finding(old, "skipped", "the row was not made by Notary's signer")
    if old.deleted_at is not None:
        return _finding(old, "skipped", "the old signer had deleted the key")
    if not old.gun or not old.role:
        return _finding(
            old, "refused", "the row names no repository or no role, and this signer signs for one alone"
        )
    if old.role not in get_args(OnlineRole):
        return _finding(old, "skipped", f"keys for the role {old.role!r} are not kept by a signer")
    if old.key_id not in known:
        return None
    there = known[old.key_id]
    if there is None:
        return _finding(
            old, "refused", "the registry holds a row of the old signer: give this signer another database"
        )
    if (there.public, there.gun, there.role) != (old.public, old.gun, old.role):
        return _finding(old, "refused", "this signer has another key under that ID")
    return _finding(old, "present", "")


def _open(old: OldKey, passphrases: Passphrases) -> _Candidate | Finding:
    """The key as it was opened and checked, or why that cannot be."""
    try:
        opened, passphrase = _opened(old, passphrases)
        private = read_private_half(old.algorithm, opened.plaintext)
        algorithm = cast(Algorithm, old.algorithm)
        check_private_half(private, algorithm, old.public, old.key_id)
    except (NotAJwe, WrongPassphrase, UnfitKey) as problem:
        return _finding(old, "refused", str(problem))
    exposures: list[Exposure] = []
    if passphrase == WELL_KNOWN:
        exposures.append("well-known passphrase")
    if opened.derivation != "standard":
        exposures.append("go-1.15 derivation")
    return _Candidate(old, algorithm, cast(OnlineRole, old.role), pkcs8(private), tuple(exposures))


def _opened(old: OldKey, passphrases: Passphrases) -> tuple[Opened, bytes]:
    for passphrase in passphrases.candidates(old.alias):
        try:
            return open_jwe(old.private, passphrase), passphrase
        except WrongPassphrase:
            continue
    raise WrongPassphrase(
        f"no passphrase opens it: give that of the alias {old.alias!r} as NOTARY_SIGNER_{old.alias.upper()} or with "
        f"--passphrase-file {old.alias}=FILE"
    )


def _finding(old: OldKey, outcome: Outcome, reason: str) -> Finding:
    return Finding(old.key_id, old.gun, old.role, outcome, reason)
