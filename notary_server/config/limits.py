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
    max_file_bytes: Annotated[int, BeforeValidator(between(1024, 1 << 30))] = Field(
        default=100 << 20,
        description="Bytes of one metadata file, 1024 to 1073741824. Clients in the field read no more than 104857600.",
    )
    max_json_values: Annotated[int, BeforeValidator(between(1000, 1 << 26))] = Field(
        default=3_000_000,
        description="JSON values in one metadata file, 1000 to 67108864; a target has five.",
    )
    max_json_depth: Annotated[int, BeforeValidator(between(16, 256))] = Field(
        default=256, description="Nested values in one metadata file, 16 to 256."
    )
    max_signatures: Annotated[int, BeforeValidator(between(4, 256))] = Field(
        default=100, description="Signatures of one metadata file, 4 to 256."
    )
    max_keys: Annotated[int, BeforeValidator(between(4, 10000))] = Field(
        default=1000, description="Keys in one metadata file, 4 to 10000."
    )
    max_delegations: Annotated[int, BeforeValidator(between(1, 10000))] = Field(
        default=1000, description="Roles that one metadata file delegates to, 1 to 10000."
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
    max_buffered_bytes: Annotated[int, BeforeValidator(between(1 << 20, 1 << 36))] = Field(
        default=512 << 20,
        description="Bytes of all request bodies that each process holds at the same time, 1048576 to 68719476736; "
        "one client may hold half of them. What small bodies hold is not counted.",
    )
    max_unread_bytes: Annotated[int, BeforeValidator(between(1 << 20, 1 << 36))] = Field(
        default=512 << 20,
        description="Bytes of all answers that wait in each process for clients to read them, 1048576 to 68719476736; "
        "half of them for one client. Beyond, the connection that has not read for longest is closed. What waits of "
        "small answers is not counted.",
    )
    min_upload_rate: Annotated[int, BeforeValidator(between(0, 1 << 30))] = Field(
        default=1024,
        description="Bytes a second that a request body must bring, seen over ten seconds, 0 to 1073741824.",
    )
    max_connections: Annotated[int, BeforeValidator(between(16, 1 << 20))] = Field(
        default=4096, description="Connections that each process keeps open, 16 to 1048576."
    )
    max_client_connections: Annotated[int, BeforeValidator(between(0, 1 << 20))] = Field(
        default=512,
        description="Connections of one client address, 0 to 1048576. 0: as many as of all.",
    )
    client_writes: Annotated[int, BeforeValidator(between(0, 1_000_000))] = Field(
        default=6000,
        description="Publishes and deletions of one client in a minute, 0 to 1000000. 0: any number.",
    )
    repository_writes: Annotated[int, BeforeValidator(between(0, 1_000_000))] = Field(
        default=600,
        description="Publishes to one repository in a minute, and its deletions, 0 to 1000000. 0: any number.",
    )
    client_keys: Annotated[int, BeforeValidator(between(0, 1_000_000))] = Field(
        default=1200,
        description="Server keys that one client asks for in a minute, 0 to 1000000. 0: any number.",
    )
    repository_keys: Annotated[int, BeforeValidator(between(0, 1_000_000))] = Field(
        default=120,
        description="Server keys of one repository that are asked for in a minute, 0 to 1000000. 0: any number.",
    )
    header_timeout: Annotated[float, BeforeValidator(duration(1, 600))] = Field(
        default=20.0,
        description="Seconds from a connection to the end of its first request's header, 1 to 600.",
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 3600))] = Field(
        default=60.0, description="Seconds a client may take to send one request, 1 to 3600."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=25.0,
        description="Seconds that running requests get to finish when the server is told to stop, 0 to 600.",
    )
    max_streams: Annotated[int, BeforeValidator(between(0, 100_000))] = Field(
        default=256, description="Streams of the changefeed that each process keeps open, 0 to 100000."
    )
    max_client_streams: Annotated[int, BeforeValidator(between(0, 100_000))] = Field(
        default=16, description="Those of one client address, 0 to 100000."
    )
