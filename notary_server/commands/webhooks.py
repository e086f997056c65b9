"""`notary-server webhooks`: how far receivers have come, and what they did not take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from notary_common.command import config_option, stop
from notary_common.table import columns, printable

from . import PROGRAM
from .stored import stored

if TYPE_CHECKING:
    from ..config.notifications import Webhook
    from ..storage.webhooks import DeadLetter, SqlWebhooks

Result = TypeVar("Result")
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
_PAGE = 1000


@click.group()
def webhooks() -> None:
    """Receivers that are told of changes.

    \b
    Example:
      notary-server webhooks list --config server-config.json
    """


@webhooks.command("list")
@config_option("server-config.json")
@_JSON
def list_webhooks(config_file: Path, as_json: bool) -> None:
    """List the receivers, and how far each has come.

    \b
    Example:
      notary-server webhooks list --config server-config.json
    """
    configured = {hook.name: hook for hook in _configured(config_file)}
    found = {one.name: one for one in _with_table(config_file, lambda table: table.progress())}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "url": configured[name].url if name in configured else None,
            "delivered_up_to": found[name].change_id if name in found else None,
            "failed_tries": found[name].tries if name in found else 0,
        }
        for name in sorted({*configured, *found})
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = [["NAME", "UP TO CHANGE", "FAILED TRIES", "URL"]]
    table += [
        [printable(row["name"]), str(row["delivered_up_to"] or "-"), str(row["failed_tries"]),
         printable(row["url"] or "(no longer configured)")]
        for row in rows
    ]  # fmt: skip
    click.echo(columns(table) if rows else "no webhooks are configured")


@webhooks.command("test")
@config_option("server-config.json")
@click.argument("name")
def test_webhook(config_file: Path, name: str) -> None:
    """Send an event about the repository webhook-test to the receiver NAME, and say whether it took it.

    \b
    Example:
      notary-server webhooks test --config server-config.json ci
    """
    from ..notify.cloud_events import Event, spelled  # noqa: PLC0415 - with aiohttp it would slow --help down

    hook, source = _one(config_file, name)
    event = Event("test", "published", "webhook-test", datetime.now(UTC), {"test": True})
    problem = _sent(hook, event.id, spelled(event, source))
    if problem is not None:
        stop(PROGRAM, f"{name} did not take it: {problem}")
    click.echo(f"{name} took it")


@webhooks.command("dead")
@config_option("server-config.json")
@_JSON
def list_dead(config_file: Path, as_json: bool) -> None:
    """List the events that were given up, each with the last reason. Ends with status 1 if there are any.

    \b
    Example:
      notary-server webhooks dead --config server-config.json
    """
    letters = _with_table(config_file, _all_dead)
    if as_json:
        rows = [_letter(letter) for letter in letters]
        click.echo(json.dumps(rows, indent=2))
    elif not letters:
        click.echo("no events were given up")
    else:
        table = [["ID", "WEBHOOK", "EVENT", "GIVEN UP", "REASON"]]
        table += [
            [str(letter.id), printable(letter.webhook), printable(letter.event_id), _day(letter),
             printable(letter.reason)]
            for letter in letters
        ]  # fmt: skip
        click.echo(columns(table))
        click.echo(f"send them again: {PROGRAM} webhooks redeliver --config {config_file}")
    if letters:
        raise SystemExit(1)


@webhooks.command("redeliver")
@config_option("server-config.json")
@click.argument("ids", nargs=-1, type=int)
@click.option("--drop", is_flag=True, help="Forget them instead of sending them.")
@click.option("--dry-run", is_flag=True, help="Only say which ones.")
def redeliver(config_file: Path, ids: tuple[int, ...], drop: bool, dry_run: bool) -> None:
    """Send events that were given up once more: those with these IDs, or all. What is taken is forgotten here.

    \b
    Example:
      notary-server webhooks redeliver --config server-config.json --dry-run
      notary-server webhooks redeliver --config server-config.json 17 18
    """
    letters = [one for one in _with_table(config_file, _all_dead) if not ids or one.id in ids]
    missing = set(ids) - {one.id for one in letters}
    if missing:
        stop(
            PROGRAM, f"there is no event {min(missing)}; see: {PROGRAM} webhooks dead --config {config_file}"
        )
    failed = 0
    for letter in letters:
        what = f"{letter.id} ({printable(letter.webhook)}, {printable(letter.event_id)})"
        if dry_run:
            click.echo(f"{what} would be {'forgotten' if drop else 'sent'}")
            continue
        problem = None if drop else _sent(_one(config_file, letter.webhook)[0], letter.event_id, letter.body)
        if problem is None:
            _with_table(config_file, partial(_remove, letter.id))
            click.echo(f"{what} was {'forgotten' if drop else 'taken'}")
        else:
            failed += 1
            click.echo(f"{what} was not taken: {problem}", err=True)
    if failed:
        raise SystemExit(1)


def _configured(config_file: Path) -> tuple[Webhook, ...]:
    config, _ = stored(config_file, whole=True)
    return config.notifications.webhooks


def _one(config_file: Path, name: str) -> tuple[Webhook, str]:
    config, _ = stored(config_file, whole=True)
    named = [hook for hook in config.notifications.webhooks if hook.name == name]
    if not named:
        stop(PROGRAM, f"no webhook is called {name!r}; see: {PROGRAM} webhooks list --config {config_file}")
    return named[0], config.notifications.source


def _sent(hook: Webhook, event_id: str, body: bytes) -> str | None:
    """Why it was not taken; None if it was."""
    from ..notify.sender import NotDelivered, open_sender  # noqa: PLC0415

    async def run() -> None:
        async with open_sender() as sender:
            await sender.send(hook, event_id, body)

    try:
        asyncio.run(run())
    except NotDelivered as problem:
        return str(problem)
    return None


async def _all_dead(table: SqlWebhooks) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    while True:
        page = await table.dead(found[-1].id if found else 0, _PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def _remove(number: int, table: SqlWebhooks) -> None:
    await table.remove(number)


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "webhook": letter.webhook,
        "event": json.loads(letter.body),
        "given_up": _day(letter),
        "reason": letter.reason,
    }


def _day(letter: DeadLetter) -> str:
    return f"{datetime.fromtimestamp(letter.failed_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _with_table(config_file: Path, work: Callable[[SqlWebhooks], Awaitable[Result]]) -> Result:
    """Do `work` with the configured database; stops with a sentence if it cannot be used."""
    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down

    from ..errors import StoreUnavailable  # noqa: PLC0415
    from ..inspection.whole import opened  # noqa: PLC0415
    from ..storage.webhooks import SqlWebhooks  # noqa: PLC0415

    log.configure("warning", "logfmt")
    _, target = stored(config_file)

    async def run() -> Result:
        async with opened(target) as database:
            return await work(SqlWebhooks(database))

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        stop(PROGRAM, f"storage.db_url: {error.message}")
