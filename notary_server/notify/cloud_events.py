"""PURE: what happened, as a CloudEvent (1.0, structured JSON), and its signature as Standard Webhooks have it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from notary_server.config.notifications import Happening

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPE: Final = "org.notary.repository."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one repository.

    Attributes:
        id: of all events of this installation; the same again when it is delivered again.
        happening: the last word of its type.
        data: what is told of it besides.
    """

    id: str
    happening: Happening
    gun: str
    time: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


def spelled(event: Event, source: str) -> bytes:
    """The body of a delivery."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": source,
            "type": TYPE + event.happening,
            "subject": event.gun,
            "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"gun": event.gun, **event.data},
        }
    )


def headers(event_id: str, body: bytes, secret: bytes, seconds: int) -> dict[str, str]:
    """The fields of a delivery. `seconds`: when it is sent, since 1970-01-01T00:00:00Z."""
    signed = f"{event_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def moment(nanoseconds: int) -> datetime:
    """Nanoseconds since 1970-01-01T00:00:00Z as a time, in whole seconds; the last of the year 9999 for all later ones."""
    last = datetime(9999, 12, 31, tzinfo=UTC)
    return min(last, _EPOCH + timedelta(seconds=min(nanoseconds // 10**9, 10**11)))
