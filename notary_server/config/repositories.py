"""The sections `repositories` and `caching`: what is served, and for how long it may be kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import GunPrefixes, between

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


class Repositories(Section):
    """Which repositories this server takes."""

    gun_prefixes: GunPrefixes = Field(
        default=(),
        description="Only repositories whose name begins with one of these, each relative and ending in one slash. "
        "Empty: all. In the environment: separated by blanks.",
    )
