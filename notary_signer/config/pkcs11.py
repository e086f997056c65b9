"""The section `pkcs11`: the token that holds the keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, ValidationInfo

from notary_common.config import Problem, Section
from notary_common.values import File, Flag, PinFile, between, duration, one_of, text

from ..token.settings import Mode, TokenSettings

MAX_SLOT: Final = 10**18 - 1
"""Slot IDs are numbers of 32 or 64 bits that a module makes up; SoftHSM's have 32."""


def _token_label(value: object) -> str:
    label = text(value)
    if len(label.encode()) > 32:
        raise ValueError("is longer than the 32 bytes a PKCS#11 token label may have; choose a shorter one")
    return label


def _token_serial(value: object) -> str:
    # A serial number of digits alone is easily written as a number.
    serial = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    if len(serial.encode()) > 16:
        raise ValueError("is longer than the 16 bytes a PKCS#11 serial number may have; see token check")
    return serial


def _note(value: object, info: ValidationInfo) -> Path:
    path = Path((info.context or {})["base_dir"]) / text(value)
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it, or name a file in another one")
    return path


class Pkcs11(Section):
    """The token that holds the keys."""

    module: File | None = Field(
        default=None, description="The PKCS#11 library. Without it: SoftHSM where distributions install it."
    )
    module_arguments: Annotated[str, BeforeValidator(text)] | None = Field(
        default=None,
        description="A string for the library's C_Initialize, if it wants one; NSS's softokn does. Never a PIN.",
    )
    token_label: Annotated[str, BeforeValidator(_token_label)] = Field(
        default="notary",
        description="Label of the token, 32 bytes at most. Used unless `token_serial` or `slot` names the token.",
    )
    token_serial: Annotated[str, BeforeValidator(_token_serial)] | None = Field(
        default=None, description="Serial number of the token, in place of its label."
    )
    slot: Annotated[int, BeforeValidator(between(0, MAX_SLOT))] | None = Field(
        default=None,
        description="ID of the token's slot, in place of its label. SoftHSM gives a new one when a token is made.",
    )
    pin_file: PinFile | None = Field(
        default=None,
        description="File with the user PIN, not writable by other users; readable by them only with a warning. Required, except for `token init`.",
    )
    refused_pin_file: Annotated[Path, BeforeValidator(_note)] | None = Field(
        default=None,
        description="Where the signer notes that the token refused the PIN, so that no restart tries the same one again. Default: `pin_file` with `.refused` added.",
    )
    keys: Annotated[Mode, BeforeValidator(one_of("auto", "wrapped", "resident"))] = Field(
        default="auto",
        description="How new keys are kept: `wrapped` in the database under the token's key, `resident` as objects of the token, or `auto`: wrapped where the token can do it, else resident.",
    )
    call_timeout: Annotated[float, BeforeValidator(duration(1, 600))] = Field(
        default=10.0,
        description="Seconds for one call of the token, 1 to 600. One that takes longer counts as hung: its process is ended and started anew.",
    )

    allow_export: Flag = Field(
        default=False,
        description="Whether `notary-signer keys export` may take private keys out of the token, encrypted under a passphrase. Only for the way back to Notary's own signer.",
    )

    def settings(self, max_handles: int) -> TokenSettings:
        """What the token's process needs to know of an accepted section."""
        return TokenSettings(
            module=_text(self.module),
            arguments=self.module_arguments,
            label=self.token_label,
            serial=self.token_serial,
            slot=self.slot,
            pin_file=str(self.pin_file or ""),
            refused_file=_text(self.refused_pin_file),
            mode=self.keys,
            max_handles=max_handles,
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of this section; `raw`: all leaves by dotted key."""
    names = ("pkcs11.token_label", "pkcs11.token_serial", "pkcs11.slot")
    given = [name for name in names if raw.get(name) is not None]
    if len(given) < 2:
        return []
    return [
        Problem(given[-1], f"cannot be given beside {' and '.join(given[:-1])}; name the token in one way")
    ]
