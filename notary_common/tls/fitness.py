"""May new material take the place of the old? What a person would look at before a swap.

Whatever can be said against it is said while the old is still in use and good.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .material import Material, TlsError, out_of_date

Side = Literal["server", "client"]
"""Which side of a connection the certificate is shown by."""

_PURPOSES = {
    "server": (ExtendedKeyUsageOID.SERVER_AUTH, "servers"),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH, "clients"),
}


def check_fit(new: Material, old: Material, side: Side, now: datetime) -> None:
    """Raises: TlsError: the old material is better kept; says why."""
    new.check_pair()
    if chain := new.chain():
        named = new.names.certificate or Path()
        problem = _chain_problem(chain, side, now) or _names_problem(chain[0], old, side, now)
        if problem is not None:
            raise TlsError(named, problem)
    if believed := new.believed():
        found = [out_of_date(certificate, now) for certificate in believed]
        if None not in found:
            raise TlsError(new.names.authorities or Path(), found[0] or "")


def renews(new: Material, old: Material) -> bool:
    """Whether only certificate and key differ, and OpenSSL would keep the new in the place of the old.

    It has a place for each kind of key, and would go on showing a certificate of another kind.
    """
    before, after = old.chain(), new.chain()
    return (
        new.authorities == old.authorities
        and bool(before and after)
        and before[0].public_key_algorithm_oid == after[0].public_key_algorithm_oid
    )


def _chain_problem(chain: list[x509.Certificate], side: Side, now: datetime) -> str | None:
    for certificate in chain:
        if (problem := out_of_date(certificate, now)) is not None:
            return problem
    for place, (child, parent) in enumerate(pairwise(chain), 1):
        try:
            child.verify_directly_issued_by(parent)
        except Exception:  # noqa: BLE001 - a foreign name, a wrong signature, an unknown kind of key
            return f"certificate {place + 1} of the chain did not issue certificate {place}"
    wanted, called = _PURPOSES[side]
    try:
        purposes = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        return "the certificate has an extension that cannot be parsed"
    if wanted not in purposes and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        return f"the certificate is not made for {called} (its extended key usage leaves them out)"
    return None


def _names_problem(new: x509.Certificate, old: Material, side: Side, now: datetime) -> str | None:
    before = old.chain()
    if not before or out_of_date(before[0], now) is not None:
        # Nothing is lost any more.
        return None
    had, has = names(before[0], side), names(new, side)
    lost = sorted(name for name in had if name not in has and not _covered(name, has))
    if not lost:
        return None
    return (
        f"the certificate no longer covers {', '.join(lost)} as the one in use does; "
        "restart the daemon if that is meant"
    )


def names(certificate: x509.Certificate, side: Side) -> set[str]:
    """Whom it speaks for, as `DNS:host`, `IP:address`, `URI:...`; `CN:...` for clients, and where there is nothing else."""
    found: set[str] = set()
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        pass
    else:
        found |= {f"DNS:{name.lower()}" for name in alternative.get_values_for_type(x509.DNSName)}
        found |= {f"IP:{address}" for address in alternative.get_values_for_type(x509.IPAddress)}
        found |= {f"URI:{uri}" for uri in alternative.get_values_for_type(x509.UniformResourceIdentifier)}
    if side == "client" or not found:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        found |= {f"CN:{attribute.value!s}" for attribute in common}
    return found


def _covered(name: str, has: set[str]) -> bool:
    kind, _, host = name.partition(":")
    parent = host.partition(".")[2]
    return kind == "DNS" and "." in parent and f"DNS:*.{parent}" in has
