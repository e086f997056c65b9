"""One function (or answer) per route: each translates a request into a use case and its result into an answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from notary_common.management import METRICS_TYPE
from notary_server.errors import MetadataNotFound
from notary_server.operations import changefeed, delete_repository, keys, publish, read_metadata
from notary_server.operations.changefeed import Change
from notary_server.operations.context import Context
from notary_server.operations.keys import HeldKey
from notary_server.operations.read_metadata import StoredFile
from notary_server.tuf.names import TIMESTAMP, Gun, RoleName

from . import events
from .answer import JSON, TEXT, Answer, spell_json
from .audit import Action, audited
from .caching import cache_headers, last_modified
from .call import Call
from .limits import HEARTBEAT
from .multipart import form_boundary, parts
from .query import first_values
from .target import escaped_path

PING: Final = Answer(body=b"{}", content_type=TEXT)
"""Says that a trust server is here; always the same, since clients give up on it after five seconds."""


async def update(call: Call) -> Answer:
    """Publish: all parts of the form or none."""
    settings, context = call.services.settings, call.services.context
    with audited(call, "publish") as entry:
        call.services.rates.admit("writes", call)
        boundary = form_boundary(call.headers.get("content-type"))
        body = await call.read_body()
        uploads = await publish.collect(context, len(body), parts(body, boundary, settings.max_parts))
        entry.files = [(upload.role, None, upload.meta.hashes["sha256"].hex()) for upload in uploads]
        stored = await publish.publish(context, call.gun, uploads)
        entry.files = [(file.role, file.version, file.sha256) for file in stored]
    return Answer()


async def delete(call: Call) -> Answer:
    """Delete the repository; the same answer if there was none."""
    with audited(call, "delete"):
        call.services.rates.admit("writes", call)
        await delete_repository.delete(call.services.context, call.gun)
    return Answer()


async def current_file(call: Call) -> Answer:
    """The current file of a role."""
    stored = await read_metadata.current(call.services.context, call.gun, call.role)
    max_age = call.services.settings.caching.current
    modified = stored.updated_at if call.role == TIMESTAMP else stored.created_at
    return _file(stored, cache_headers(max_age, must_revalidate=True), modified)


async def file_by_checksum(call: Call) -> Answer:
    """The file of a role with a given SHA-256."""
    stored = await read_metadata.by_checksum(call.services.context, call.gun, call.role, call.selector)
    return _unchanging(call, stored)


async def file_by_version(call: Call) -> Answer:
    """The file of a role with a given version."""
    stored = await read_metadata.by_version(call.services.context, call.gun, call.role, call.selector)
    return _unchanging(call, stored)


async def key(call: Call) -> Answer:
    """The public key that the server signs a role with."""
    return _key(await _handed_out(call, "get key", keys.get))


async def rotated_key(call: Call) -> Answer:
    """A new public key for a role, which counts as soon as a root lists it."""
    return _key(await _handed_out(call, "rotate key", keys.rotate))


async def standard_key(call: Call) -> Answer:
    """The same as `key`, as TUF 1.0 spells keys, with the ID that python-tuf computes."""
    return _standard_key(await _handed_out(call, "get key", keys.get_standard))


async def rotated_standard_key(call: Call) -> Answer:
    """The same as `rotated_key`, likewise."""
    return _standard_key(await _handed_out(call, "rotate key", keys.rotate))


async def target_file(call: Call) -> Answer:
    """Where a target file is kept: this server keeps none."""
    bases = call.services.settings.targets_base_urls
    fitting = max((prefix for prefix in bases if call.gun.startswith(prefix)), key=len, default=None)
    if fitting is None:
        raise MetadataNotFound("This server does not know where the targets of this repository are kept.")
    return Answer(302, headers={"Location": bases[fitting] + escaped_path(call.selector)})


async def changes(call: Call) -> Answer:
    """The changes of one repository, or of all if the address names none; as a stream for who accepts events."""
    query = first_values(call.query)
    if events.wanted(call.headers.get("accept", "")):
        after = changefeed.resumed_after(query, call.headers.get("last-event-id", ""))
        call.services.streams.admit(call.client)
        return Answer(content_type=events.CONTENT_TYPE, headers=events.HEADERS, stream=_events(call, after))
    found = await changefeed.changes(
        call.services.context, call.gun or None, query.get("change_id", ""), query.get("records", "")
    )
    body = spell_json({"count": len(found), "records": [_change(change) for change in found]})
    return Answer(body=body, content_type=TEXT)


async def _events(call: Call, after: int | None) -> AsyncGenerator[bytes]:
    yield events.OPENING
    services, quiet = call.services, 0
    records = services.streams.records(services.context.store, call.gun or None, after, call.client)
    async with aclosing(records):
        async for found in records:
            quiet = 0 if found else quiet + 1
            yield b"".join(events.event(change.id, change.category, _change(change)) for change in found)
            if quiet == HEARTBEAT:
                quiet = 0
                yield events.HEARTBEAT


async def health(call: Call) -> Answer:
    """What is wrong with the server, by the name of the check."""
    problems = call.services.health.problems
    return Answer(503 if problems else 200, spell_json(problems), JSON)


async def metrics(call: Call) -> Answer:
    """The metrics of this process."""
    return Answer(body=call.services.metrics.exposition(), content_type=METRICS_TYPE)


async def _handed_out(
    call: Call, action: Action, give: Callable[[Context, Gun, RoleName], Awaitable[HeldKey]]
) -> HeldKey:
    """A key of the server, counted and recorded."""
    with audited(call, action) as entry:
        call.services.rates.admit("keys", call)
        held = await give(call.services.context, call.gun, call.role)
        entry.key = held.key_id
    return held


def _file(stored: StoredFile, caching: dict[str, str], modified: datetime) -> Answer:
    return Answer(body=stored.data, content_type=TEXT, headers={**caching, **last_modified(modified)})


def _unchanging(call: Call, stored: StoredFile) -> Answer:
    max_age = call.services.settings.caching.consistent
    return _file(stored, cache_headers(max_age, must_revalidate=False), stored.created_at)


def _key(held: HeldKey) -> Answer:
    keyval = {"public": b64encode(held.key.public).decode(), "private": None}
    return Answer(body=spell_json({"keytype": held.key.keytype, "keyval": keyval}), content_type=TEXT)


def _standard_key(held: HeldKey) -> Answer:
    key = keys.in_standard_form(held)
    return Answer(body=spell_json({"keyid": key.keyid, "key": key.document}), content_type=JSON)


def _change(change: Change) -> dict[str, object]:
    return {
        "ID": str(change.id),
        "CreatedAt": _go_time(change.created_at),
        "GUN": change.gun,
        "Version": change.version,
        "SHA256": change.sha256,
        "Category": change.category,
    }


def _go_time(moment: datetime) -> str:
    """RFC 3339 in UTC without trailing zeros, as Go spells it."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"
