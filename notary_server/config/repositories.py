"""The sections `repositories` and `caching`: what is served, and for how long it may be kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import GunPrefixes, between, shown
from notary_common.values import text as is_text

_MAX_AGE = BeforeValidator(between(0, 31536000))


class MaxAge(Section):
    """How long metadata may be cached by clients and proxies."""

    current_metadata: Annotated[int, _MAX_AGE] = Field(
        default=300, description="Seconds for files asked for by role, 0 to 31536000. 0 forbids caching."
    )
    consistent_metadata: Annotated[int, _MAX_AGE] = Field(
        default=2592000,
        description="Seconds for files asked for by version or checksum, 0 to 31536000. 0 forbids caching.",
    )


class Caching(Section):
    """Cache headers of metadata."""

    max_age: MaxAge = MaxAge()


_ADDRESS = re.compile(r"https?://[!-~]+/", re.ASCII)
"""An address as it may stand in a header."""


def _base_urls(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("is no object; write one with an address for each beginning of repository names")  # noqa: TRY004
    for prefix, address in value.items():
        if _ADDRESS.fullmatch(is_text(address)) is None or "?" in address or "#" in address:
            raise ValueError(
                f'holds for "{shown(str(prefix))}" no address that begins with https:// or http:// and ends in a slash'
            )
    return dict(value)


class Repositories(Section):
    """Which repositories this server takes."""

    gun_prefixes: GunPrefixes = Field(
        default=(),
        description="Only repositories whose name begins with one of these, each relative and ending in one slash. "
        "Empty: all. In the environment: separated by blanks.",
    )
    targets_base_urls: Annotated[dict[str, str], BeforeValidator(_base_urls)] = Field(
        default={},
        description="Where the target files of TUF 1.0 repositories are kept: an address that ends in a slash for each "
        "beginning of their names, the longest that fits counts. `/v2/GUN/_trust/targets/PATH` is redirected there.",
    )
