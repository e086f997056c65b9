"""A file for what OpenSSL, as Python has it, takes by name alone: certificate chain and private key.

The bytes that were checked must be the bytes that are loaded, and a key from a Workload API must not be left on a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def private_file(data: bytes) -> Iterator[Path]:
    """`data` under a name that is gone with the block: in memory on Linux, else in a directory of mode 0700."""
    if not hasattr(os, "memfd_create"):
        with TemporaryDirectory(prefix="notary-") as folder:
            path = Path(folder) / "pem"
            path.touch(mode=0o600)
            path.write_bytes(data)
            yield path
        return
    # Belongs to no directory, reaches no disk but swap, and is gone when it is closed, whatever happens to the process.
    descriptor = os.memfd_create("notary-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
