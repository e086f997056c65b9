"""The section `notifications`: whom the server tells of changes by itself."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo

from notary_common.config import Section, kind
from notary_common.values import LOOPBACK, File, GunPrefixes, Text, duration, pin_file, shown, web_address

from .entries import entries

Happening = Literal["published", "deleted", "keys-rotated", "expiring"]
HAPPENINGS: Final[tuple[Happening, ...]] = get_args(Happening)
MAX_WEBHOOKS: Final = 50
"""Each is worked on by itself; whoever has more receivers puts a broker behind one."""
_PREFIX: Final = "whsec_"


def read_secret(path: Path) -> bytes:
    """The bytes that deliveries are signed with, of a file as Standard Webhooks spells them: `whsec_` and base64.

    Raises:
        ValueError: the file holds something else; its contents are not in the text.
    """
    try:
        word = path.read_text(encoding="ascii").strip()
        secret = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except (OSError, ValueError, binascii.Error):
        word, secret = "", b""
    if not word.startswith(_PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError(
            f"the file {path} holds no secret; write whsec_ and the base64 of 24 to 64 random bytes"
        )
    return secret


def _url(value: object) -> str:
    address, scheme, host = web_address(value, "https://host/path")
    if scheme == "http" and host not in LOOPBACK:
        raise ValueError(
            "is plain http to another machine; write https:// (with ca_file for a CA of your own)"
        )
    return address


def _secret_file(value: object, info: ValidationInfo) -> Path:
    path = pin_file(value, info)
    read_secret(path)
    return path


def _happenings(value: object) -> tuple[str, ...]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f'is {kind(value)}; write a list of strings, e.g. ["published", "deleted"]')
    if bad := [f'"{shown(word)}"' for word in words if word not in HAPPENINGS]:
        raise ValueError(f"{', '.join(bad)} is not known; choose among {', '.join(HAPPENINGS)}")
    return tuple(dict.fromkeys(words))


class Webhook(Section):
    """One receiver."""

    name: Text
    url: Annotated[str, BeforeValidator(_url)]
    secret_file: Annotated[Path, BeforeValidator(_secret_file)]
    events: Annotated[tuple[Happening, ...], BeforeValidator(_happenings)] = HAPPENINGS
    gun_prefixes: GunPrefixes = ()
    ca_file: File | None = None
    timeout: Annotated[float, BeforeValidator(duration(0.1, 60))] = 10.0


def _webhooks(value: object, info: ValidationInfo) -> tuple[Webhook, ...]:
    wanted = "an object with name, url and secret_file"
    found = tuple(one for _, one in entries(value, info, Webhook, MAX_WEBHOOKS, wanted))
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise ValueError("has one name twice; the place that was reached is kept under it")
    if any(len(name) > 64 or not name.isprintable() for name in names):
        raise ValueError("has a name of more than 64 characters, or with strange ones")
    return found


class Notifications(Section):
    """Whom the server tells of changes by itself."""

    source: Text = Field(
        default="notary-server",
        description="What deliveries name as their `source`: a URI of this installation is best.",
    )
    webhooks: Annotated[tuple[Webhook, ...], BeforeValidator(_webhooks)] = Field(
        default=(),
        description="Receivers, each an object with `name`, `url` (https, or http on this machine), `secret_file` (`whsec_` "
        "and base64), and as wanted `events` (of `published`, `deleted`, `keys-rotated`, `expiring`; all), "
        "`gun_prefixes` (all repositories), `ca_file`, `timeout` (10 seconds). In the environment: JSON.",
    )
