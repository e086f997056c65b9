"""Certificate files as Kubernetes mounts a Secret, and a new generation of them put in place."""

from __future__ import annotations

import shutil
from pathlib import Path

NAMES = ("tls.crt", "tls.key", "ca.crt")


class Mount:
    """A directory whose files are links through `..data`, which is swapped for another.

    Attributes:
        certificate, key, authorities: the files.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.certificate, self.key, self.authorities = (folder / name for name in NAMES)
        self._generation = 0
        for name in NAMES:
            (folder / name).symlink_to(f"..data/{name}")

    def put(self, certificate: bytes, key: bytes, authorities: bytes) -> None:
        """Swap in other content, all of it at once."""
        before = self.folder / f"..{self._generation}"
        self._generation += 1
        data = self.folder / f"..{self._generation}"
        data.mkdir()
        for name, content in zip(NAMES, (certificate, key, authorities), strict=True):
            (data / name).write_bytes(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.folder / "..data")
        shutil.rmtree(before, ignore_errors=True)
