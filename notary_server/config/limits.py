"""The section `limits`: bounds on what one client can ask for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import between, duration


class Limits(Section):
    """Bounds on what one client can ask for."""

    max_upload_bytes: Annotated[int, BeforeValidator(between(1024, 1 << 30))] = Field(
        default=100 << 20, description="Bytes of one publish, 1024 to 1073741824."
    )
    max_parts: Annotated[int, BeforeValidator(between(4, 10000))] = Field(
        default=256, description="Files in one publish, 4 to 10000."
    )
    max_json_depth: Annotated[int, BeforeValidator(between(16, 256))] = Field(
        default=256, description="Nested values in one metadata file, 16 to 256."
    )
    max_changefeed_records: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=10_000, description="Changefeed records in one answer, 1 to 100000."
    )
    max_cache_bytes: Annotated[int, BeforeValidator(between(0, 1 << 36))] = Field(
        default=64 << 20,
        description="Bytes of metadata that each process keeps in memory, 0 to 68719476736. 0 keeps none.",
    )
    max_concurrent_publishes: Annotated[int, BeforeValidator(between(1, 1000))] = Field(
        default=8, description="Publishes worked on at the same time, 1 to 1000; more wait their turn."
    )
    publish_wait: Annotated[float, BeforeValidator(duration(0.1, 300))] = Field(
        default=10.0,
        description="Seconds a publish waits for its turn before it is answered 503, 0.1 to 300.",
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 3600))] = Field(
        default=60.0, description="Seconds a client may take to send one request, 1 to 3600."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=25.0,
        description="Seconds that running requests get to finish when the server is told to stop, 0 to 600.",
    )
