"""SoftHSM behind `faulty_module.c`, which hangs, errs or dies on command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


def compiled(folder: Path) -> Path:
    """The module, made in `folder`."""
    library = folder / "libfaulty.so"
    source = Path(__file__).with_name("faulty_module.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


@dataclass(frozen=True)
class Faults:
    """How to make it misbehave, and what it was asked."""

    folder: Path

    def environ(self, module: Path) -> dict[str, str]:
        """What a process needs that uses it; `module`: SoftHSM's."""
        return {"REAL_MODULE": str(module), "FAULTS": str(self._faults), "CALLS": str(self._calls)}

    def inject(self, line: str) -> None:
        """From the next call on."""
        fresh = self._faults.with_suffix(".new")
        fresh.write_text(line + "\n")
        fresh.replace(self._faults)

    def heal(self) -> None:
        """All is well again."""
        self._faults.unlink(missing_ok=True)

    def count(self, function: str) -> int:
        """How often a function was called, by any process."""
        return self._calls.read_text().split().count(function) if self._calls.exists() else 0

    @property
    def _faults(self) -> Path:
        return self.folder / "faults"

    @property
    def _calls(self) -> Path:
        return self.folder / "calls"
