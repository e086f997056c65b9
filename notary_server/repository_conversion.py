"""What `notary-server repo convert` reads, and what keeps it from converting."""

from __future__ import annotations

import json
from pathlib import Path

from securesystemslib.signer import Key

from .ports import MetadataStore
from .tuf.names import ROOT, TARGETS, Gun
from .tuf.parse import ParseError
from .tuf10.convert import Conversion, convert
from .tuf10.names import is_standard


class ConversionProblem(Exception):
    """The repository cannot be converted; the text says what to do."""


async def convert_stored(
    store: MetadataStore, gun: str, snapshot_key: Path, timestamp_key: Path
) -> Conversion:
    """Convert what is stored of `gun` in its latest versions.

    Raises:
        ConversionProblem: nothing is stored, it is no repository of Notary's dialect, or a key file is none.
        notary_server.errors.StoreUnavailable: the database cannot answer.
    """
    snapshot, timestamp = _key(snapshot_key), _key(timestamp_key)
    name = Gun(gun)
    latest = (await store.trust_state(name, ())).latest
    files = (await store.trust_state(name, tuple(latest))).files
    if ROOT not in files or TARGETS not in files:
        raise ConversionProblem(f"nothing is stored of {gun!r}; see: notary-server repo list")
    if is_standard(files[ROOT]):
        raise ConversionProblem(f"{gun!r} holds TUF 1.0 metadata already")
    try:
        return convert(files, snapshot, timestamp)
    except ParseError as error:
        raise ConversionProblem(f"a stored file of {gun!r} is malformed: {error}") from None


def _key(file: Path) -> Key:
    try:
        answer = json.loads(file.read_bytes())
        return Key.from_dict(answer["keyid"], answer["key"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ConversionProblem(f"{file} is no key as the server gives it: {error}") from None
