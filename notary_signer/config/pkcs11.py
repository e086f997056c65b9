"""The section `pkcs11`: the token that holds the keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Section
from notary_common.values import File, PinFile, text


def _token_label(value: object) -> str:
    label = text(value)
    if len(label.encode()) > 32:
        raise ValueError("is longer than the 32 bytes a PKCS#11 token label may have; choose a shorter one")
    return label


class Pkcs11(Section):
    """The token that holds the keys."""

    module: File | None = Field(
        default=None, description="The PKCS#11 library. Without it: SoftHSM where distributions install it."
    )
    token_label: Annotated[str, BeforeValidator(_token_label)] = Field(
        default="notary", description="Label of the token, 32 bytes at most."
    )
    pin_file: PinFile | None = Field(
        default=None,
        description="File with the user PIN, not writable by other users; readable by them only with a warning. Required, except for `token init`.",
    )
