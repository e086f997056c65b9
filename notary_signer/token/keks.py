"""The key-encryption keys of a token: `notary-kek-1`, `notary-kek-2`, ... Used by the owning thread alone."""

from __future__ import annotations

import re
from typing import Final

from pkcs11 import Attribute, ObjectClass, Session

from notary_signer.errors import TokenFault

from . import objects

_LABEL: Final = re.compile(r"notary-kek-([1-9][0-9]{0,5})", re.ASCII)


def label_of(number: int) -> str:
    """The label of the `number`th."""
    return f"notary-kek-{number}"


def number_of(label: str) -> int | None:
    """Which one a label names; None if it is not the label of such a key."""
    found = _LABEL.fullmatch(label)
    return None if found is None else int(found[1])


def labels(session: Session) -> list[str]:
    """Those of the token, the newest last."""
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: True}
    numbers = {number_of(key[Attribute.LABEL] or "") for key in session.get_objects(wanted)}
    return [label_of(number) for number in sorted(number for number in numbers if number is not None)]


def following(label: str) -> str:
    """The label of the one that would be made after it."""
    return label_of((number_of(label) or 0) + 1)


def is_fit(session: Session, label: str) -> bool:
    """Whether there is one of that label and it may guard keys; one that can still leave its token may not."""
    found = objects.find_keks(session, label)
    return len(found) == 1 and objects.kek_problem(found[0]) is None


def make(session: Session, label: str) -> None:
    """Make one.

    Raises:
        TokenFault: it is there, somebody else makes it at the same moment, or the token made an unfit one.
    """
    if objects.find_keks(session, label):
        raise TokenFault(f"the token holds a key-encryption key labelled {label!r} already")
    kek = objects.create_kek(session, label)
    problem = objects.kek_problem(kek)
    if problem is None and len(objects.find_keks(session, label)) > 1:
        problem = "another process made one of the same label at the same moment; try again"
    if problem is not None:
        kek.destroy()
        raise TokenFault(f"no key-encryption key {label!r} was made: {problem}")
