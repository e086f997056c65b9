"""The section `limits`: bounds on what the signer's clients can ask for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import between, duration


class Limits(Section):
    """Bounds on what the signer's clients can ask for."""

    max_request_bytes: Annotated[int, BeforeValidator(between(4096, 1 << 28))] = Field(
        default=16 << 20, description="Bytes of one request, 4096 to 268435456."
    )
    max_loaded_keys: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=1024, description="Keys kept ready in the token at the same time, 1 to 100000."
    )
    max_waiting: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=256, description="Requests that wait for the token before more are answered 503, 1 to 100000."
    )
    max_keys_per_client_per_hour: Annotated[int, BeforeValidator(between(1, 1000000))] = Field(
        default=1000,
        description="New keys that one client may have made in an hour, 1 to 1000000; a new repository needs two. An unused key that is given out again does not count.",
    )
    max_snapshot_days: Annotated[int, BeforeValidator(between(1, 4 * 366))] = Field(
        default=4 * 366,
        description="Days that a signed snapshot may be valid at most, 1 to 1464. Servers ask for 1095 unless told otherwise.",
    )
    max_timestamp_days: Annotated[int, BeforeValidator(between(1, 4 * 366))] = Field(
        default=60,
        description="Days that a signed timestamp may be valid at most, 1 to 1464. Servers ask for 14 unless told otherwise.",
    )
    pending_key_days: Annotated[int, BeforeValidator(between(7, 3650))] = Field(
        default=90,
        description="Days after which a key is destroyed that was made and never used, 7 to 3650. `notary init` fetches keys, and may publish much later; each time a key is handed out the days begin anew.",
    )
    retired_key_days: Annotated[int, BeforeValidator(between(0, 3650))] = Field(
        default=30,
        description="Days for which a retired key cannot be destroyed yet, 0 to 3650: the time to notice a mistake.",
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 3600))] = Field(
        default=30.0, description="Seconds a client may take to send one request, 1 to 3600."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=25.0,
        description="Seconds that running requests get to finish when the signer is told to stop, 0 to 600.",
    )
