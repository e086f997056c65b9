"""Domain error to response: the only place where one becomes the other.

Clients in the field print a server's words only if the body has one error, is at most 1,024 bytes long and carries
the `detail` of INVALID_UPDATE; so every body here keeps within that.
"""

from __future__ import annotations

from typing import Final

from notary_server.errors import Detail, InvalidUpdate, NotaryError, Unavailable, VersionConflict

from .answer import JSON, Answer, spell_json

MAX_ERROR_BYTES: Final = 1024
"""What the clients in the field read of an error (docs/reference/protocol.md, 2)."""

_TITLES: Final[dict[str, str]] = {
    InvalidUpdate.code: "Update sent by the client is invalid.",
    VersionConflict.code: "A newer version of metadata is already available.",
    Unavailable.code: "The server cannot reach what it depends on right now; try again in a few seconds.",
}
"""What `message` says where `detail` already holds the text, or where the text is meant for the log."""


def render(error: NotaryError) -> Answer:
    """The answer to an expected error."""
    message = _TITLES.get(error.code, error.message)
    return Answer(error.status, _body(error.code, message, error.detail), JSON, error.headers)


def render_unknown(request_id: str) -> Answer:
    """The answer to a defect of ours: the request's ID and nothing else, the log has the rest."""
    return Answer(500, _body("UNKNOWN", "unknown error", {"request_id": request_id}), JSON)


def _body(code: str, message: str, detail: Detail | None) -> bytes:
    room = MAX_ERROR_BYTES
    while True:
        error: dict[str, object] = {"code": code, "message": _shorten(message, room)}
        if detail is not None:
            error["detail"] = _shorten(detail, room)
        body = spell_json({"errors": [error]}) + b"\n"
        if len(body) <= MAX_ERROR_BYTES:
            return body
        room //= 2


def _shorten(value: object, room: int) -> object:
    """`value` with every text in it cut to `room` characters."""
    if isinstance(value, str):
        return value if len(value) <= room else value[: room - 1] + "…"
    if isinstance(value, dict):
        return {key: _shorten(item, room) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item, room) for item in value]
    return value
