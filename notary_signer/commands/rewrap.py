"""`notary-signer keys rewrap`: another key-encryption key for all keys, while signers serve."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .desk import Desk, at_desk
from .keys import confirm


@click.command("rewrap")
@config_option("signer-config.json")
@click.option(
    "--to", "label", metavar="LABEL", help="Only if this is the newest key-encryption key of the token."
)
@click.option(
    "--new-kek", is_flag=True, help="Make another one first; only where all signers share this token."
)
@click.option("--dry-run", is_flag=True, help="Only say how many keys would be moved.")
@click.option(
    "--destroy-old-kek", is_flag=True, help="Destroy those before it, if no key needs them any more."
)
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@click.option("--json", "as_json", is_flag=True, help="Write the summary as JSON.")
def rewrap(
    config_file: Path,
    label: str | None,
    new_kek: bool,
    dry_run: bool,
    destroy_old_kek: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Wrap every key anew, under the newest key-encryption key (KEK) of the token and as it wraps today.

    Each key must sign with its new form before that replaces the old one. Run it again if it was broken off: it
    goes on where it was. The status is 0 if no key was left behind. The first key that is moved tells all signers
    to wrap new keys under the same KEK: those with tokens of their own must hold it before (docs/operations/keys.md).

    \b
    Example:
      notary-signer keys rewrap --config signer-config.json --new-kek
      notary-signer keys rewrap --config signer-config.json --destroy-old-kek
    """
    if destroy_old_kek:
        if label is not None or new_kek or dry_run:
            stop(PROGRAM, "--destroy-old-kek goes with neither --to nor --new-kek nor --dry-run")
        summary = at_desk(config_file, lambda desk: _destroy_old(desk, yes))
    elif label is not None and new_kek:
        stop(PROGRAM, "--new-kek makes the next key-encryption key; leave --to out")
    else:
        act = _count if dry_run else _rewrap
        summary = at_desk(config_file, lambda desk: act(desk, label, new_kek))
    click.echo(json.dumps(summary, indent=2) if as_json else _as_text(summary))
    if summary.get("failed"):
        sys.exit(1)


async def _count(desk: Desk, label: str | None, make: bool) -> dict[str, Any]:
    from .. import rewrap as work  # noqa: PLC0415

    token = await desk.token()
    to, new = await work.target(desk.registry, token, label, make=make)
    return {
        "kek": to,
        "kek_would_be_made": new,
        "would_be_moved": await work.waiting(desk.catalogue, await token.keywraps(), to),
    }


async def _rewrap(desk: Desk, label: str | None, make: bool) -> dict[str, Any]:
    from .. import rewrap as work  # noqa: PLC0415

    token = await desk.token()
    to, new = await work.target(desk.registry, token, label, make=make)
    if new:
        await work.make_kek(token, desk.journal, to)
    number = await work.waiting(desk.catalogue, await token.keywraps(), to)
    with _progress(number) as step:
        result = await work.rewrap(desk.catalogue, token, desk.journal, to, step)
    return {"kek": to, "moved": result.moved, "passed": result.passed, "failed": result.failed}


async def _destroy_old(desk: Desk, yes: bool) -> dict[str, Any]:
    from .. import rewrap as work  # noqa: PLC0415

    token = await desk.token()
    old = await work.old_keks(desk.registry, desk.catalogue, token)
    if old:
        confirm(
            yes,
            f"{' and '.join(old)} can never be brought back: backups of the registry from before "
            "the last rewrap are lost with it.",
        )
        click.echo(f"looking again in {work.SETTLING:g} seconds, and then they are destroyed", err=True)
    destroyed = await work.destroy_old_keks(desk.registry, desk.catalogue, token, desk.journal, work.SETTLING)
    return {"destroyed": destroyed}


@contextmanager
def _progress(number: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=number, label="rewrapping", file=sys.stderr) as bar:
        yield bar.update


def _as_text(summary: dict[str, Any]) -> str:
    if "destroyed" in summary:
        gone = summary["destroyed"]
        return (
            f"destroyed: {', '.join(gone)}"
            if gone
            else "nothing to destroy: the token holds no KEK before the one in use"
        )
    if "would_be_moved" in summary:
        made = ", which would be made" if summary["kek_would_be_made"] else ""
        return f"{summary['would_be_moved']} keys would be moved to {summary['kek']}{made}"
    lines = [f"{summary['moved']} keys were moved to {summary['kek']}"]
    if summary["passed"]:
        lines.append(f"{summary['passed']} were changed by somebody else meanwhile")
    lines += [f"{key_id} was not moved: {reason}" for key_id, reason in summary["failed"].items()]
    return "\n".join(lines)
