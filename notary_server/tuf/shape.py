"""The members that Notary's metadata knows, place by place, and Go's ways of reading them.

Go matches member names without regard to case and reads `null` as "nothing said"; a document that says
`Version` beside `version` is read differently by Go clients and others, so it is refused here
(docs/reference/protocol.md, 4 and 24.5).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import msgspec

from .model import DelegatedRole, FileMeta, Role
from .names import ROOT, SNAPSHOT, TIMESTAMP, RoleName


class KeyValue(msgspec.Struct, frozen=True):
    """`keyval` of a key object, as it travels."""

    public: bytes = b""
    private: str | None = None


class Key(msgspec.Struct, frozen=True):
    """A key object as it travels."""

    keytype: str = ""
    keyval: KeyValue = KeyValue()


class Common(msgspec.Struct, frozen=True, rename={"kind": "_type"}):
    """What every `signed` has; missing members are Go's zero values."""

    kind: str = ""
    expires: str | None = None
    version: int = 0


class RootBody(Common, frozen=True):
    """`signed` of root as it travels."""

    keys: dict[str, Key] = {}
    roles: dict[str, Role | None] = {}
    consistent_snapshot: bool = False


class Delegations(msgspec.Struct, frozen=True):
    """`delegations` of targets as it travels."""

    keys: dict[str, Key] = {}
    roles: tuple[DelegatedRole | None, ...] = ()


class TargetsBody(Common, frozen=True):
    """`signed` of targets and delegations as it travels."""

    targets: dict[str, FileMeta] = {}
    delegations: Delegations = Delegations()


class MetaBody(Common, frozen=True):
    """`signed` of snapshot and timestamp as it travels."""

    meta: dict[str, FileMeta] = {}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of one place in a document.

    Attributes:
        zero: what `null` stands for here, if it stands in a list or a map.
        members: the known members of an object, by exact name; None if it is no object of fixed members.
        items: the shape of all elements of a list or all values of a map.
        base64: a byte string.
        folded: the known members as Go compares them.
        nested: those of the members that hold known members themselves.
        watched: there are known members here or further inside.
    """

    zero: object = None
    members: Mapping[str, Shape] | None = None
    items: Shape | None = None
    base64: bool = False
    folded: frozenset[str] = field(init=False)
    nested: tuple[tuple[str, Shape], ...] = field(init=False)
    watched: bool = field(init=False)

    def __post_init__(self) -> None:
        members = self.members or {}
        nested = tuple((name, inner) for name, inner in members.items() if inner.watched)
        watched = self.members is not None or (self.items is not None and self.items.watched)
        object.__setattr__(self, "folded", frozenset(map(_fold, members)))
        object.__setattr__(self, "nested", nested)
        object.__setattr__(self, "watched", watched)


def _fold(name: str) -> str:
    """`name` as Go compares member names: the long s and the Kelvin sign fold to ASCII too."""
    return name.replace("\u017f", "s").lower()


def _object(**members: Shape) -> Shape:
    return Shape(zero={}, members=members)


_ANY: Final = Shape()
_TEXT: Final = Shape(zero="")
_NUMBER: Final = Shape(zero=0)
_BYTES: Final = Shape(zero="", base64=True)
_TEXTS: Final = Shape(zero=[], items=_TEXT)
_FILES: Final = Shape(
    zero={}, items=_object(hashes=Shape(zero={}, items=_BYTES), length=_NUMBER, custom=_ANY)
)
_KEYS: Final = Shape(zero={}, items=_object(keytype=_TEXT, keyval=_object(public=_BYTES, private=Shape())))
_COMMON: Final = {"_type": _TEXT, "expires": _TEXT, "version": _NUMBER}
# A role that is null stays null: it counts as missing.
_ROLE: Final = Shape(members={"keyids": _TEXTS, "threshold": _NUMBER})
_DELEGATED: Final = Shape(members={"name": _TEXT, "keyids": _TEXTS, "threshold": _NUMBER, "paths": _TEXTS})

ROOT_SHAPE: Final = _object(
    **_COMMON, keys=_KEYS, roles=Shape(zero={}, items=_ROLE), consistent_snapshot=_ANY
)
TARGETS_SHAPE: Final = _object(
    **_COMMON,
    targets=_FILES,
    delegations=_object(keys=_KEYS, roles=Shape(zero=[], items=_DELEGATED)),
)
META_SHAPE: Final = _object(**_COMMON, meta=_FILES)
ENVELOPE_SHAPE: Final = _object(signed=_ANY, signatures=_ANY)
SIGNATURES_SHAPE: Final = Shape(zero=[], items=_object(keyid=_TEXT, method=_TEXT, sig=_BYTES))


def of_role(role: RoleName) -> Shape:
    """The shape of `signed` in a file of this role."""
    if role == ROOT:
        return ROOT_SHAPE
    return META_SHAPE if role in {SNAPSHOT, TIMESTAMP} else TARGETS_SHAPE


def misspelled(value: object, shape: Shape) -> str | None:
    """The first known member that stands in `value` in another case, None if there is none."""
    return next(_misspelled([value], shape), None)


def _misspelled(values: Iterable[object], shape: Shape) -> Iterator[str]:
    """Such members of all `values`, which are all of one shape. Thousands of targets go through here at once."""
    if shape.members is not None:
        objects = [value for value in values if type(value) is dict]
        for name in set(chain.from_iterable(set(map(tuple, objects)))) - shape.members.keys():
            if _fold(name) in shape.folded:
                yield _fold(name)
        for name, inner in shape.nested:
            yield from _misspelled([value[name] for value in objects if name in value], inner)
    elif shape.items is not None and shape.items.watched:
        for value in values:
            if type(value) is dict:
                yield from _misspelled(value.values(), shape.items)
            elif type(value) is list:
                yield from _misspelled(value, shape.items)


def as_go_reads(value: object, shape: Shape) -> object:
    """`value` with every `null` of a known place replaced by what Go makes of it, and byte strings as plain base64.

    Go skips line ends in base64, and takes a list of numbers for a byte string.
    """
    if value is None:
        return shape.zero
    if type(value) is str and shape.base64:
        return value.replace("\r", "").replace("\n", "")
    if type(value) is list and shape.base64 and all(_is_byte(element) for element in value):
        return b64encode(bytes(element or 0 for element in value)).decode()
    if type(value) is list and shape.items is not None:
        return [as_go_reads(element, shape.items) for element in value]
    if type(value) is dict and shape.items is not None:
        return {name: as_go_reads(element, shape.items) for name, element in value.items()}
    if type(value) is dict and shape.members is not None:
        return {
            name: as_go_reads(element, shape.members[name]) if name in shape.members else element
            for name, element in value.items()
            if element is not None
        }
    return value


def _is_byte(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= 255)
