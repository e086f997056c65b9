"""Who a peer is by its certificate; contexts for peers that are known by a SPIFFE ID instead of a machine's name."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from .contexts import make_client
from .material import Material, Validity


def make_client_of(spiffe_id: str, material: Material) -> ssl.SSLContext:
    """A context to connect with; the other side's certificate is verified, and that it is `spiffe_id`.

    Raises:
        TlsError: the material cannot be used.
    """
    context = make_client(material)
    # An SVID names no machine. What it names instead is compared below, as part of every handshake, so that no
    # caller can forget it.
    context.check_hostname = False

    after_handshakes(context, lambda here: check_spiffe_id(here.getpeercert(), spiffe_id))
    return context


class Peers:
    """The certificates that the other side showed lately, by the name it was asked for."""

    def __init__(self) -> None:
        self._seen: dict[str, Validity] = {}

    def notice(self, here: ssl.SSLObject) -> None:
        """Remember what was shown in a handshake that has succeeded."""
        certificate = here.getpeercert()
        if certificate:
            self._seen[here.server_hostname or ""] = Validity(
                float(ssl.cert_time_to_seconds(str(certificate["notBefore"]))),
                float(ssl.cert_time_to_seconds(str(certificate["notAfter"]))),
            )

    def first_to_expire(self) -> Validity | None:
        """Of all that were shown; None before the first."""
        return min(self._seen.values(), key=lambda one: one.not_after, default=None)


def after_handshakes(context: ssl.SSLContext, look: Callable[[ssl.SSLObject], None]) -> None:
    """Have `look` called on every connection of this context whose handshake has succeeded.

    Args:
        look: may raise `ssl.SSLError`; then the handshake has failed.
    """

    class Looking(context.sslobject_class):  # type: ignore[name-defined,misc]
        """What `wrap_bio`, and so every event loop, makes of this context."""

        def do_handshake(self) -> None:
            """As ever, and then the look."""
            super().do_handshake()
            look(self)

    context.sslobject_class = Looking


def check_spiffe_id(certificate: object, wanted: str) -> None:
    """Refuse a peer whose certificate, as `getpeercert` shows it, does not name exactly one URI: the `wanted`.

    Raises:
        ssl.SSLCertVerificationError: it is somebody else.
    """
    if _uris(certificate) == [wanted]:
        return
    problem = ssl.SSLCertVerificationError(1, "the certificate is of another workload")
    problem.verify_message = f"it is not that of {wanted}"
    raise problem


def subject(certificate: object) -> str:
    """The name in a verified certificate, as `getpeercert` shows it; empty without one.

    Its URI, such as a SPIFFE ID, where it has exactly one, else its last common name.
    """
    if not isinstance(certificate, dict):
        return ""
    uris = _uris(certificate)
    common = [
        value
        for attributes in certificate.get("subject", ())
        for kind, value in attributes
        if kind == "commonName"
    ]
    return uris[0] if len(uris) == 1 else common[-1] if common else ""


def _uris(certificate: object) -> list[str]:
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    return [value for kind, value in names if kind == "URI"]
