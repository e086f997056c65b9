"""What each command does, from opening what it needs to closing it. Long work shows its progress on standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence

from notary_common.database import DatabaseTarget
from notary_common.old_daemon import same_database
from notary_common.progress import progress_bar
from notary_common.table import printable
from notary_server.app import open_context
from notary_server.config import ServerConfig
from notary_server.inspection.holdings import count_repositories
from notary_server.inspection.whole import opened
from notary_server.storage.sql_store import SqlStore
from notary_server.storage.statements import is_storable

from .copying import MAX_NAMED, Copied, Copying
from .keyring import read_keyring
from .mirror import MirrorReport, mirror, named_by_changefeed
from .old_schema import missing_tables, schema_findings
from .remote import RemoteServer
from .survey import Survey, survey
from .tables import CHANGES, FILES
from .verify import Proof, compare_answers, compare_rows, plan_publishes


class NotCopyable(Exception):
    """The old tables, or some of their rows, cannot be copied; the text says why and what to do."""


async def survey_old(server: DatabaseTarget, signer: DatabaseTarget | None) -> Survey:
    """Look at everything in the databases of an old server and, if given, its signer.

    Raises:
        DatabaseError: one of them cannot be read.
    """
    keyring, findings = None, []
    if signer is not None:
        async with opened(signer) as database:
            findings = await schema_findings(database, "signer")
            keyring = await read_keyring(database) if not await missing_tables(database, "signer") else None
    async with opened(server) as database:
        findings = [*await schema_findings(database, "server"), *findings]
        if "tuf_files" in await missing_tables(database, "server"):
            return Survey(findings=findings)
        with progress_bar("looking at repositories", await count_repositories(database)) as progress:
            found = await survey(database, keyring, time.time_ns(), progress)
    found.findings = [*findings, *found.findings]
    return found


async def copy(old: DatabaseTarget, new: DatabaseTarget) -> Copied:
    """Make the new database hold what the old one holds.

    Raises:
        NotCopyable: the old tables are not those of Notary 0.7.0, or the new ones cannot hold a repository's name.
        TargetInUse, DatabaseError: as `Copying.run`.
    """
    async with opened(old) as source, opened(new) as target:
        for finding in await schema_findings(source, "server"):
            if finding.weight == "broken":
                raise NotCopyable(finding.text)
        for table in (FILES, CHANGES):
            _refuse_names(
                [name for name in await table.names(source) if not is_storable(target.dialect, name)]
            )
        copying = Copying(source, target)
        with progress_bar("copying", await copying.prepare()) as progress:
            return await copying.run(progress)


def _refuse_names(names: Sequence[str]) -> None:
    if names:
        named = ", ".join(f"'{printable(name)}'" for name in names[:MAX_NAMED])
        raise NotCopyable(
            f"the new database cannot hold {len(names)} of the names ({named}); MySQL takes no space at the end and no "
            "character of four bytes: copy into PostgreSQL or SQLite, or remove these repositories' rows from the old tables"
        )


async def prove(
    config: ServerConfig, old: DatabaseTarget, new: DatabaseTarget, remote: RemoteServer | None
) -> Proof:
    """Compare everything, and plan a publish to every repository.

    Raises:
        DatabaseError, NotaryError, TlsError, RemoteProblem: something cannot be asked.
    """
    proof = Proof()
    async with opened(old) as before:
        rows = [await table.count(before) for table in (FILES, CHANGES)]
        if not same_database(old, new):
            async with opened(new) as after:
                with progress_bar("comparing rows", sum(rows)) as progress:
                    await compare_rows(before, after, proof, progress)
        if remote is not None:
            async with remote:
                with progress_bar("asking for files", rows[0]) as progress:
                    await compare_answers(before, remote, proof, progress)
    async with open_context(config) as context:
        with progress_bar("planning publishes", len(await context.store.repositories())) as progress:
            await plan_publishes(context, proof, progress)
    return proof


async def mirror_all(new: DatabaseTarget, remote: RemoteServer, guns: list[str] | None) -> MirrorReport:
    """Bring over these repositories, or all that the changefeed names.

    Raises:
        DatabaseError, StoreUnavailable, RemoteProblem: something cannot be asked.
    """
    async with remote, opened(new) as database:
        names = await named_by_changefeed(remote) if guns is None else guns
        with progress_bar("mirroring", len(names)) as progress:
            return await mirror(remote, SqlStore(database), names, progress)
