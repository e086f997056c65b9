"""`notary-signer keys`: the keys in the registry, and what becomes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click

from notary_common.command import config_option, stop
from notary_common.wire import KeyState, OnlineRole

from . import PROGRAM
from .desk import Desk, at_desk

if TYPE_CHECKING:
    from ..ports import KeyEntry, KeyRecord

_KEY_ID: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_SHOWN: Final = 5
"""Candidates that an ambiguous abbreviation is answered with."""
_ALL: Final = 2**31 - 1

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def keys() -> None:
    """The keys in the registry. A running signer sees every change at once.

    KEYID may be the beginning of a key ID, at least four digits, if no other key begins so.

    \b
    Example:
      notary-signer keys list --config signer-config.json --state retired
      notary-signer keys show --config signer-config.json 3f1c9a
    """


@keys.command("list")
@config_option("signer-config.json")
@click.option("--gun-prefix", default="", help="Only keys of repositories whose name begins with this.")
@click.option("--state", type=click.Choice([*get_args(KeyState), "foreign"]), help="Only keys in this state.")
@click.option("--role", type=click.Choice(get_args(OnlineRole)), help="Only keys of this role.")
@_as_json
def list_keys(config_file: Path, gun_prefix: str, state: str | None, role: str | None, as_json: bool) -> None:
    """List the keys, the oldest first. Those of Notary's own signer are foreign: this one cannot use them.

    \b
    Example:
      notary-signer keys list --config signer-config.json
      notary-signer keys list --config signer-config.json --gun-prefix registry.example.org/ --state active --json
    """
    from ..key_report import entry_as_json, list_as_text  # noqa: PLC0415

    found = at_desk(config_file, lambda desk: desk.catalogue.entries(gun_prefix=gun_prefix))
    entries = [entry for entry in found if state in {None, entry.state} and role in {None, entry.role}]
    if as_json:
        click.echo(json.dumps([entry_as_json(entry) for entry in entries], indent=2))
    else:
        click.echo(list_as_text(entries))


@keys.command("show")
@config_option("signer-config.json")
@click.argument("key_id", metavar="KEYID")
@_as_json
def show(config_file: Path, key_id: str, as_json: bool) -> None:
    """Show one key: what it is for, its state and since when, and the highest version that it has signed.

    \b
    Example:
      notary-signer keys show --config signer-config.json 3f1c9a
    """
    from ..key_report import entry_as_json, entry_as_text  # noqa: PLC0415

    entry = at_desk(config_file, lambda desk: _entry(desk, key_id))
    click.echo(json.dumps(entry_as_json(entry), indent=2) if as_json else entry_as_text(entry))


@keys.command("retire")
@config_option("signer-config.json")
@click.argument("key_id", metavar="KEYID")
@_yes
def retire(config_file: Path, key_id: str, yes: bool) -> None:
    """Have a key sign no more, for good. Its repository needs a new root (notary key rotate) before it is published again.

    \b
    Example:
      notary-signer keys retire --config signer-config.json 3f1c9a --yes
    """
    from .. import lifecycle  # noqa: PLC0415

    async def work(desk: Desk) -> str:
        key = await _key(desk, key_id)
        if key.deleted_at is None:
            confirm(yes, f"Key {key.key_id}, the {key.role} key of {key.gun}, will never sign again.")
        if not await lifecycle.retire(desk.registry, desk.journal, key):
            return f"key {key.key_id} was {key.state} already"
        return f"key {key.key_id} is retired"

    click.echo(at_desk(config_file, work))


@keys.command("destroy")
@config_option("signer-config.json")
@click.argument("key_id", metavar="KEYID")
@_yes
def destroy(config_file: Path, key_id: str, yes: bool) -> None:
    """Destroy the private half of a retired key, for ever. Its record stays.

    Possible when it was retired `limits.retired_key_days` ago.

    \b
    Example:
      notary-signer keys destroy --config signer-config.json 3f1c9a --yes
    """
    from datetime import timedelta  # noqa: PLC0415

    from .. import lifecycle  # noqa: PLC0415

    async def work(desk: Desk) -> str:
        key = await _key(desk, key_id)
        if key.state == "retired":
            confirm(
                yes, f"Key {key.key_id}, a {key.role} key of {key.gun}, can never be brought back after this."
            )
        # Only a resident key is in the token.
        token = await desk.token() if key.private.keeping == "resident" else None
        grace = timedelta(days=desk.config.limits.retired_key_days)
        if not await lifecycle.destroy(desk.catalogue, token, desk.journal, key, grace):
            return f"key {key.key_id} was destroyed already"
        return f"key {key.key_id} is destroyed"

    click.echo(at_desk(config_file, work))


@keys.command("collect")
@config_option("signer-config.json")
@click.option("--dry-run", is_flag=True, help="Only list them.")
def collect(config_file: Path, dry_run: bool) -> None:
    """Destroy the keys that were made and never used within `limits.pending_key_days`.

    A running signer does this by itself, every ten minutes.

    \b
    Example:
      notary-signer keys collect --config signer-config.json --dry-run
    """
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    from .. import lifecycle  # noqa: PLC0415

    async def work(desk: Desk) -> int:
        before = datetime.now(UTC) - timedelta(days=desk.config.limits.pending_key_days)
        if dry_run:
            return _listed(await desk.catalogue.abandoned(before, _ALL))
        token = await desk.token()
        number = 0
        while found := await lifecycle.collect(desk.catalogue, token, desk.journal, before):
            number += _listed(found)
        return number

    number = at_desk(config_file, work)
    click.echo(f"{number} keys {'would be' if dry_run else 'were'} collected")


def _listed(found: Sequence[KeyRecord]) -> int:
    from notary_common.table import printable  # noqa: PLC0415

    for key in found:
        click.echo(f"{key.key_id}  {key.role}  {printable(key.gun)}")
    return len(found)


async def _entry(desk: Desk, key_id: str) -> KeyEntry:
    """The one key whose ID begins so; stops if there is none, or more than one."""
    if _KEY_ID.fullmatch(key_id) is None:
        stop(PROGRAM, f"{key_id!r} is no key ID: it has 64 digits and letters a to f; give at least four")
    found = await desk.catalogue.entries(key_id_prefix=key_id)
    if not found:
        stop(PROGRAM, f"the registry holds no key {key_id}; see: {PROGRAM} keys list")
    if len(found) > 1:
        candidates = [entry.key_id for entry in found[:_SHOWN]]
        stop(PROGRAM, f"{len(found)} keys begin with {key_id}; give more digits:", candidates)
    return found[0]


async def _key(desk: Desk, key_id: str) -> KeyRecord:
    entry = await _entry(desk, key_id)
    key = await desk.registry.get(entry.key_id)
    if key is None:
        stop(PROGRAM, f"key {entry.key_id} is foreign: Notary's own signer made it, and it is left as it is")
    return key


def confirm(yes: bool, consequence: str) -> None:
    """Return if the operator is sure; stops otherwise, also where nobody can answer."""
    if yes:
        return
    try:
        sure = click.confirm(f"{consequence} Go on?", err=True)
    except click.Abort:
        stop(PROGRAM, "nobody was there to answer; say --yes")
    if not sure:
        stop(PROGRAM, "nothing was changed")
