"""Contexts for peers that are known by their SPIFFE ID instead of the name of a machine."""

from __future__ import annotations

import ssl

from .contexts import make_client
from .material import Material


def make_client_of(spiffe_id: str, material: Material) -> ssl.SSLContext:
    """A context to connect with; the other side's certificate is verified, and that it is `spiffe_id`.

    Raises:
        TlsError: the material cannot be used.
    """
    context = make_client(material)
    # An SVID names no machine. What it names instead is compared below, as part of every handshake, so that no
    # caller can forget it.
    context.check_hostname = False

    class OnlyOf(ssl.SSLObject):
        """What `wrap_bio`, and so every event loop, makes of this context."""

        def do_handshake(self) -> None:
            """As ever, and the other side's name besides.

            Raises:
                ssl.SSLError: among them, that it is somebody else.
            """
            super().do_handshake()
            check_spiffe_id(self.getpeercert(), spiffe_id)

    context.sslobject_class = OnlyOf
    return context


def check_spiffe_id(certificate: object, wanted: str) -> None:
    """Refuse a peer whose certificate, as `getpeercert` shows it, does not name exactly one URI: the `wanted`.

    Raises:
        ssl.SSLCertVerificationError: it is somebody else.
    """
    found = [name for name in alternative_names(certificate) if name[0] == "URI"]
    if found == [("URI", wanted)]:
        return
    problem = ssl.SSLCertVerificationError(1, "the certificate is of another workload")
    problem.verify_message = f"it is not that of {wanted}"
    raise problem


def alternative_names(certificate: object) -> list[tuple[str, str]]:
    """The kinds and values of the names in a certificate, as `getpeercert` shows it; none without one."""
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    return [(str(kind), str(value)) for kind, value in names]
