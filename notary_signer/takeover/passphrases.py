"""The passphrases of an old signer, by their aliases, and the one that half the world knows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ENVIRONMENT_PREFIX: Final = "NOTARY_SIGNER_"
"""Notary's signer reads the passphrase of the alias `alias1` from `NOTARY_SIGNER_ALIAS1`."""
MAX_BYTES: Final = 4096
"""Of a passphrase; more is the wrong file."""
WELL_KNOWN: Final = b"defaultalias"
"""What every installation by Harbor's chart has unless somebody changed it: a key under it is as good as public."""


class PassphraseProblem(Exception):
    """A passphrase file cannot be used; the text says why and what to do, never what is in it."""


@dataclass(frozen=True, slots=True)
class Passphrases:
    """What to try for the keys of an alias.

    Attributes:
        by_alias: the passphrases of one alias.
        of_all: those that are tried for every alias.
    """

    by_alias: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    of_all: tuple[bytes, ...] = field(default=(), repr=False)

    def candidates(self, alias: str) -> list[bytes]:
        """The passphrases to try for a key under `alias`, the likeliest first, the well-known one last."""
        own = self.by_alias.get(alias.lower())
        given = [*([] if own is None else [own]), *self.of_all]
        return [*given, *([] if WELL_KNOWN in given else [WELL_KNOWN])]

    def missing(self, aliases: Iterable[str]) -> list[str]:
        """The aliases for which nothing was given."""
        return [alias for alias in aliases if alias.lower() not in self.by_alias and not self.of_all]


def gather(environ: Mapping[str, str], files: Iterable[str], aliases: Iterable[str]) -> Passphrases:
    """The passphrases of `aliases` from the environment, as Notary's signer reads them, and from files.

    Args:
        files: `FILE`, for every alias, or `ALIAS=FILE`. A file wins over the environment.

    Raises:
        PassphraseProblem: a file cannot be read, or holds none.
    """
    by_alias = {
        alias.lower(): environ[name].encode()
        for alias in aliases
        if environ.get(name := ENVIRONMENT_PREFIX + alias.upper())
    }
    of_all = []
    for word in files:
        alias, equals, path = word.partition("=")
        if not equals or os.sep in alias:
            of_all.append(read_passphrase(Path(word)))
        else:
            by_alias[alias.lower()] = read_passphrase(Path(path))
    return Passphrases(by_alias, tuple(of_all))


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without the end of its line.

    Raises:
        PassphraseProblem: the file cannot be read, others may change it, or it holds none.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PassphraseProblem(
                    f"--passphrase-file: {path} may be changed by others than its owner; run: chmod 600 {path}"
                )
            passphrase = file.read(MAX_BYTES + 1).removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise PassphraseProblem(f"--passphrase-file: cannot read {path}: {error.strerror}") from None
    if not passphrase or len(passphrase) > MAX_BYTES:
        raise PassphraseProblem(
            f"--passphrase-file: {path} must hold one passphrase of 1 to {MAX_BYTES} bytes"
        )
    return passphrase
