"""PURE: who a client is, by its certificate, and what it may do.

An identity is read from the certificate once per connection. Everything ambiguous counts as not there: two common
names are none, and a SPIFFE ID beside another URI is none, as its standard demands (X509-SVID, 2).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

Operation = Literal["create_key", "describe", "sign", "retire_key", "health", "metrics"]
OPERATIONS: Final[tuple[Operation, ...]] = (
    "create_key",
    "describe",
    "sign",
    "retire_key",
    "health",
    "metrics",
)
Matcher = Literal["subject_cn", "san_dns", "spiffe_id"]
MATCHERS: Final[tuple[Matcher, ...]] = ("subject_cn", "san_dns", "spiffe_id")

MAX_NAME: Final = 255
"""Characters of a name, so that every record has it whole. A longer one counts as not there."""

_SPIFFE_ID: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*", re.ASCII
)
_WILDCARD: Final = "/*"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a connection.

    Attributes:
        name: what records and logs call it: its SPIFFE ID, `cn:NAME`, `dns:NAME`, `uid:NUMBER` on a Unix socket,
            or `cert:` and the SHA-256 of a certificate without any usable name.
        subject_cn, san_dns, spiffe_id: what its certificate says, as far as that is one thing.
        uid: the user at the other end of a Unix socket.
    """

    name: str
    subject_cn: str | None = None
    san_dns: frozenset[str] = frozenset()
    spiffe_id: str | None = None
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class ClientRule:
    """One entry of the configuration's `clients`.

    Attributes:
        matcher, value: whom it is about; a `spiffe_id` may end in `/*`, for all below it.
        operations: what these clients may do.
        gun_prefixes: for which repositories; empty: for all.
    """

    matcher: Matcher
    value: str
    operations: frozenset[Operation]
    gun_prefixes: tuple[str, ...] = ()

    def matches(self, identity: Identity) -> bool:
        """Whether it is about this client."""
        if self.matcher == "subject_cn":
            return identity.subject_cn == self.value
        if self.matcher == "san_dns":
            return self.value.lower() in identity.san_dns
        if identity.spiffe_id is None:
            return False
        if self.value.endswith(_WILDCARD):
            return identity.spiffe_id.startswith(self.value.removesuffix("*"))
        return identity.spiffe_id == self.value


@dataclass(frozen=True, slots=True)
class Clients:
    """Who may do what.

    Attributes:
        rules: of the configuration; None: whoever the client CA signed may do everything.
        own_uid: the only user that may come in over a Unix socket, and may do everything.
    """

    rules: tuple[ClientRule, ...] | None
    own_uid: int

    def problem(self, identity: Identity, operation: Operation, gun: str | None = None) -> str | None:
        """Why this client may not do that, or None if it may.

        Args:
            gun: the repository it is about, if it is about one.
        """
        if identity.uid is not None:
            return None if identity.uid == self.own_uid else "only the signer's own user may use its socket"
        if self.rules is None:
            return None
        mine = [rule for rule in self.rules if rule.matches(identity)]
        if not mine:
            return "no entry of the signer's configuration is about this client"
        able = [rule for rule in mine if operation in rule.operations]
        if not able:
            return f"this client may not use {operation}"
        if gun is not None and not any(_within(gun, rule.gun_prefixes) for rule in able):
            return f"this client may not use {operation} for this repository"
        return None


def _within(gun: str, prefixes: tuple[str, ...]) -> bool:
    return not prefixes or gun.startswith(prefixes)


def user(uid: int) -> Identity:
    """The identity of a process of this machine, on a Unix socket."""
    return Identity(f"uid:{uid}", uid=uid)


def certificate_identity(der: bytes) -> Identity:
    """The identity that a certificate names, which the TLS handshake has verified.

    Raises:
        ValueError: it cannot be parsed.
    """
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    cn = _only([_text(name.value) for name in names])
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        san = x509.SubjectAlternativeName([])
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None
    dns = [name.lower() for name in map(_text, san.get_values_for_type(x509.DNSName)) if name]
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    spiffe = uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else None
    if spiffe is not None:
        name = spiffe
    elif cn is not None:
        name = f"cn:{cn}"
    elif dns:
        name = f"dns:{dns[0]}"
    else:
        name = f"cert:{hashlib.sha256(der).hexdigest()}"
    return Identity(name, cn, frozenset(dns), spiffe)


def is_spiffe_id(text: str) -> bool:
    """Whether `text` is a well-formed SPIFFE ID (SPIFFE-ID, 2)."""
    return len(text) <= MAX_NAME and _SPIFFE_ID.fullmatch(text) is not None


def is_spiffe_pattern(text: str) -> bool:
    """Whether `text` is a SPIFFE ID, or one followed by `/*`."""
    return is_spiffe_id(text.removesuffix(_WILDCARD))


def _text(value: str | bytes) -> str | None:
    """A name that can be shown and compared as it is, else None."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_NAME:
        return None
    return value


def _only(values: list[str | None]) -> str | None:
    return values[0] if len(values) == 1 else None
