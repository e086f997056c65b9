"""A TLS context that takes new material while connections come and go."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509

from .contexts import load_pair
from .fitness import Side, check_fit, renews
from .material import Material, Source, Validity, validity
from .peer_id import Peers, after_handshakes


class Watched(Protocol):
    """Something made of files, or of what else may change, which can be made anew."""

    @property
    def use(self) -> str:
        """What it is used for, in logs and metrics: one lower-case word."""

    @property
    def paths(self) -> Collection[Path]:
        """The files whose directories are watched; none if it changes by other means."""

    def reload(self) -> bool:
        """Take what has changed, whole or not at all; whether anything has.

        Raises:
            TlsError: what is there now cannot be used; the old is kept.
        """

    def validities(self) -> Mapping[str, Validity]:
        """By use, from when until when what is in use counts."""


class ReloadingContext:
    """Implements `Watched`. Ask `current` for each new connection.

    Attributes:
        use: see `Watched.use`; the name of the certificate's expiry, too.
    """

    def __init__(
        self,
        use: str,
        authorities_use: str,
        source: Source,
        make: Callable[[Material], ssl.SSLContext],
        side: Side,
        *,
        in_place: bool = False,
        peers: tuple[str, Peers] | None = None,
    ) -> None:
        """Read and make it for the first time.

        Args:
            authorities_use: the name of the authorities' expiry.
            make: a new context of the material; raises `TlsError`.
            in_place: renew certificate and key in the context that is there, so that the sessions which clients
                keep are resumed, by every process that inherited the context.
            peers: whose certificates are noticed, and the name of their expiry.

        Raises:
            TlsError: it cannot be made.
        """
        self.use = use
        self._authorities_use = authorities_use
        self._source = source
        self._make = make
        self._side = side
        self._in_place = in_place
        self._peers = peers
        self._told: list[Callable[[], None]] = []
        self._material = source.read()
        self._context = self._made(self._material)

    @property
    def paths(self) -> Collection[Path]:
        """See `Watched.paths`."""
        return self._source.paths

    def current(self) -> ssl.SSLContext:
        """The context for a connection that begins now."""
        return self._context

    def tell(self, told: Callable[[], None]) -> None:
        """Call `told` after each swap, e.g. to give up connections that were made with what is old."""
        self._told.append(told)

    def reload(self) -> bool:
        """See `Watched.reload`."""
        new, old = self._source.read(), self._material
        if new == old:
            return False
        check_fit(new, old, self._side, datetime.now(UTC))
        # Made in any case: what OpenSSL refuses must not be half-loaded into the context in use.
        made = self._made(new)
        if self._in_place and renews(new, old):
            load_pair(self._context, new)
        else:
            self._context = made
        self._material = new
        for told in self._told:
            told()
        return True

    def validities(self) -> Mapping[str, Validity]:
        """See `Watched.validities`.

        A chain counts as long as all of it. Of several authorities those count that have not expired, and the first
        of them to expire is told: during a change the old one leaves without an alarm that stays.
        """
        found: dict[str, Validity] = {}
        if chain := self._material.chain():
            found[self.use] = min(map(validity, chain), key=_end)
        if believed := self._material.believed():
            found[self._authorities_use] = _first_to_expire(believed)
        if self._peers is not None and (shown := self._peers[1].first_to_expire()) is not None:
            found[self._peers[0]] = shown
        return found

    def _made(self, material: Material) -> ssl.SSLContext:
        context = self._make(material)
        if self._peers is not None:
            after_handshakes(context, self._peers[1].notice)
        return context


def _end(some: Validity) -> float:
    return some.not_after


def _first_to_expire(certificates: list[x509.Certificate]) -> Validity:
    now = datetime.now(UTC).timestamp()
    ends = sorted(map(validity, certificates), key=_end)
    return next((some for some in ends if some.not_after > now), ends[-1])
