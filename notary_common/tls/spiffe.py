"""Certificates from a SPIFFE Workload API, such as SPIRE's agent offers it on a Unix socket.

An X509-SVID is the process's own certificate, with a key that was made for it and never was in a file; the bundle of its
trust domain says whom to believe. Both are pushed when they change, long before they expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..log import get_logger
from .material import Material, PemFiles, TlsError

if TYPE_CHECKING:
    from spiffe import X509Source
    from spiffe.workloadapi.x509_context import X509Context

FIRST_TIMEOUT: Final = 10.0
"""Seconds until the first certificate must be there; an agent that knows this workload answers at once."""
REOPEN_SECONDS: Final = 10.0
"""Seconds between two looks at whether the library has given up asking, and so between two new beginnings."""
_SVID: Final = Path("X509-SVID")
_BUNDLE: Final = Path("X.509 bundle")
_NAMES: Final = PemFiles(_SVID, _SVID, _BUNDLE)

_log = get_logger()


class Svids:
    """Implements `Source`. The library's own threads bring what is new; the last that came is given until then.

    gRPC does not survive a fork: made and opened in the process that uses it.
    """

    def __init__(self, socket: Path, changed: Callable[[], None]) -> None:
        """Nothing is opened yet. `changed` is called in the running event loop when there is something new."""
        self._address = f"unix://{socket}"
        self._loop = asyncio.get_running_loop()
        self._changed = changed
        self._source: X509Source | None = None

    @property
    def paths(self) -> Collection[Path]:
        """See `Source.paths`."""
        return ()

    def read(self) -> Material:
        """See `Source.read`."""
        from spiffe.workloadapi.errors import X509SourceError  # noqa: PLC0415 - an extra

        if self._source is None:
            raise TlsError(_SVID, "the Workload API was not asked yet")
        try:
            return _material(self._source.get_x509_context())
        except X509SourceError as error:
            raise TlsError(_SVID, f"cannot be had from {self._address} ({error})") from None

    async def open(self) -> None:
        """Ask for the first certificate, or begin anew.

        Raises:
            TlsError: there is none in time, or the library is not installed.
        """
        try:
            from spiffe import X509Source  # noqa: PLC0415 - an extra, and gRPC takes its time
            from spiffe.errors import PySpiffeError  # noqa: PLC0415
        except ImportError:
            raise TlsError(_SVID, 'needs a library; run: pip install "notary-trust-server[spiffe]"') from None
        try:
            # It waits, and its threads go on after that.
            source = await asyncio.to_thread(
                X509Source, socket_path=self._address, timeout_in_seconds=FIRST_TIMEOUT
            )
        except PySpiffeError as error:
            raise TlsError(_SVID, f"cannot be had from {self._address} ({error})") from None
        source.subscribe_for_updates(self._tell)
        self._source = source

    async def keep(self) -> None:
        """Begin anew whenever the library has given up, until cancelled."""
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            if self._source is not None and self._source.is_closed():
                try:
                    await self.open()
                except TlsError as error:
                    _log.error("the Workload API cannot be asked", reason=str(error))
                else:
                    self._changed()

    def close(self) -> None:
        """Ask no more."""
        if self._source is not None:
            self._source.unsubscribe_for_updates(self._tell)
            self._source.close()

    def _tell(self) -> None:
        # In a thread of gRPC's, perhaps after the loop has ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed)


@asynccontextmanager
async def open_svids(socket: Path, changed: Callable[[], None]) -> AsyncIterator[Svids]:
    """Certificates from the Workload API at `socket`, for as long as the block lasts.

    Args:
        changed: called in this event loop when there is something new.

    Raises:
        TlsError: there is no certificate in time.
    """
    svids = Svids(socket, changed)
    await svids.open()
    keeping = asyncio.create_task(svids.keep())
    try:
        yield svids
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await asyncio.to_thread(svids.close)


def _material(context: X509Context) -> Material:
    svid = context.default_svid
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    if bundle is None:
        raise TlsError(_BUNDLE, f"that of {svid.spiffe_id.trust_domain.name} is missing")
    # The library keeps a set: without an order every look would find something new.
    authorities = sorted(one.public_bytes(Encoding.PEM) for one in bundle.x509_authorities)
    return Material(
        _NAMES,
        b"".join(one.public_bytes(Encoding.PEM) for one in svid.cert_chain),
        svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        b"".join(authorities),
    )
