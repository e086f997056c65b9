"""The JSON types that the specification gives to the members of a file: python-tuf does not look at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from ..tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP


class _Signature(msgspec.Struct):
    keyid: str
    sig: str


class _KeyValue(msgspec.Struct):
    public: str


class _Key(msgspec.Struct):
    keytype: str
    scheme: str
    keyval: _KeyValue


class _Role(msgspec.Struct):
    keyids: list[str]
    threshold: int


class _DelegatedRole(_Role):
    name: str
    terminating: bool
    paths: list[str] | UnsetType = UNSET
    path_hash_prefixes: list[str] | UnsetType = UNSET


class _SuccinctRoles(_Role):
    bit_length: int
    name_prefix: str


class _Delegations(msgspec.Struct):
    keys: dict[str, _Key]
    roles: list[_DelegatedRole] | UnsetType = UNSET
    succinct_roles: _SuccinctRoles | UnsetType = UNSET


class _Target(msgspec.Struct):
    length: int
    hashes: dict[str, str]


class _Listed(msgspec.Struct):
    version: int
    length: int | UnsetType = UNSET
    hashes: dict[str, str] | UnsetType = UNSET


class _Signed(msgspec.Struct):
    spec_version: str
    version: int
    expires: str


class _Root(_Signed):
    keys: dict[str, _Key]
    roles: dict[str, _Role]
    consistent_snapshot: bool | UnsetType = UNSET


class _Targets(_Signed):
    targets: dict[str, _Target]
    delegations: _Delegations | UnsetType = UNSET


class _Listing(_Signed):
    meta: dict[str, _Listed]


_SHAPES: Final[Mapping[str, type[_Signed]]] = {
    ROOT: _Root,
    TARGETS: _Targets,
    SNAPSHOT: _Listing,
    TIMESTAMP: _Listing,
}


def check_shape(document: Mapping[str, Any]) -> None:
    """Whether the known members of a file have the types that the specification (sections 4.2 to 4.6) gives to its `_type`.

    Clients in languages with stricter types would not read it otherwise, and python-tuf's would fail when it comes to
    the value.

    Args:
        document: the whole file, with `signed` and `signatures`.

    Raises:
        ValueError: one has another type, or nobody knows that `_type`; the text names the place, not the value.
    """
    shape = _SHAPES.get(document["signed"]["_type"])
    if shape is None:
        raise ValueError("its _type is unknown")
    try:
        msgspec.convert(document["signatures"], list[_Signature])
        msgspec.convert(document["signed"], shape)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
