"""Threshold verification: is a file signed by enough of the keys that its delegator lists?"""

from __future__ import annotations

from tuf.api.metadata import Root, Targets

from notary_common.tuf_keys import material

from .file import BadFileError, StandardFile

Delegator = Root | Targets


def verify(delegator: Delegator, file: StandardFile) -> None:
    """Return if `file` meets the threshold of its role as `delegator` has it.

    Distinct keys count, not distinct IDs: a key that is filed twice signs once.

    Raises:
        BadFileError: it is malformed, or too few keys signed it.
    """
    result = delegator.get_verification_result(file.role, file.message, file.metadata.signatures)
    valid = {material(key) for key in result.signed.values()} - {None}
    if len(valid) < result.threshold:
        raise BadFileError(
            f"it has {len(valid)} valid signatures of distinct keys where {result.threshold} are needed"
        )
