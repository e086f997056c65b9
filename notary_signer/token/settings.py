"""Which module and which token the signer uses, and how: plain values that can cross to the token's process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from notary_signer.ports import Keeping

Mode = Literal["auto", "wrapped", "resident"]
"""How new keys are kept: `auto` is wrapped where the token can wrap them, else resident."""

MAX_HANDLES: Final = 1024
"""Unwrapped keys kept in the session; a kilobyte or two each in SoftHSM, and bounded in real tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """The section `pkcs11` of the configuration, as the token's process wants it.

    Attributes:
        module: the PKCS#11 library, None to find SoftHSM.
        arguments: what C_Initialize hands to it.
        label: the token's label; not looked at where `serial` or `slot` is given.
        serial: the token's serial number.
        slot: the ID of the token's slot.
        pin_file: read at every login, so that a changed PIN is picked up.
        refused_file: where it is noted that the token refused the PIN; None: beside the PIN file.
        mode: how new keys are kept.
        max_handles: unwrapped keys to keep ready.
    """

    module: str | None = None
    arguments: str | None = None
    label: str
    serial: str | None = None
    slot: int | None = None
    pin_file: str
    refused_file: str | None = None
    mode: Mode = "auto"
    max_handles: int = MAX_HANDLES

    @property
    def module_path(self) -> Path | None:
        """The library as a path."""
        return None if self.module is None else Path(self.module)

    @property
    def name(self) -> str:
        """The token as an operator would call it."""
        if self.serial is not None:
            return f"with the serial number {self.serial!r}"
        if self.slot is not None:
            return f"in slot {self.slot}"
        return f"labelled {self.label!r}"


@dataclass(frozen=True, slots=True)
class Proof:
    """How keys of an algorithm are kept, as the self-test found; `keywrap` is empty for resident keys."""

    keeping: Keeping
    keywrap: str = ""
