"""Listening sockets: mutual TLS on TCP, or a Unix socket that only this user may open."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from notary_common.accept import Acceptor
from notary_common.bind import bind
from notary_common.tls import ReloadingContext

from .config import Server
from .errors import StartRefused

BACKLOG: Final = 128
"""Connections that wait to be accepted; a server keeps a few dozen open."""
HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds for the handshake of TLS."""


class TlsSite(web.BaseSite):
    """Sockets on which each connection is made with the certificates that are in use when it comes.

    aiohttp's own sites, like asyncio's servers, keep the context that they began with.
    """

    def __init__(
        self, runner: web.BaseRunner, listeners: Sequence[socket.socket], tls: ReloadingContext
    ) -> None:
        """`listeners` are bound and non-blocking, and belong to the site from `start` on."""
        super().__init__(runner)
        self._listeners = listeners
        self._tls = tls
        self._accepting: list[Acceptor] = []

    @property
    def name(self) -> str:
        """Its address."""
        return f"https://{self._listeners[0].getsockname()}"

    async def start(self) -> None:
        """Accept connections."""
        await super().start()
        server = self._runner.server
        assert server is not None, "a site is made after the runner's setup"  # noqa: S101
        self._accepting = [
            Acceptor(one, self._tls.current, server, backlog=BACKLOG, handshake_timeout=HANDSHAKE_TIMEOUT)
            for one in self._listeners
        ]

    async def stop(self) -> None:
        """Accept no more."""
        await super().stop()
        for acceptor in self._accepting:
            acceptor.close()


async def listen(runner: web.ServerRunner, server: Server, tls: ReloadingContext | None) -> str:
    """Listen where the configuration says; the address for people, with the port that was chosen for 0.

    Args:
        tls: for TCP; not used on a Unix socket.

    Raises:
        StartRefused: the address or the socket's directory cannot be used.
    """
    address = server.address
    if address.socket is not None:
        await web.SockSite(runner, unix_socket(address.socket)).start()
        return f"unix://{address.socket}"
    if tls is None:
        raise StartRefused(
            "on TCP the signer needs tls_cert_file, tls_key_file and client_ca_file under server"
        )
    try:
        listeners = bind(address.host, address.port)
    except OSError as error:
        raise StartRefused(f"server.http_addr: cannot listen on {address}: {error.strerror}") from None
    await TlsSite(runner, listeners, tls).start()
    port = listeners[0].getsockname()[1]
    return f"https://{address.host or '0.0.0.0'}:{port}"  # noqa: S104 - said, not bound


def unix_socket(path: Path) -> socket.socket:
    """A bound socket with mode 0600, in a directory where nobody else could put another one in its place.

    Raises:
        StartRefused: the directory is open to others, or the path is taken.
    """
    _check_directory(path.parent)
    _remove_leftover(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise StartRefused(f"server.http_addr: cannot listen on {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    return bound


def _check_directory(directory: Path) -> None:
    try:
        info = directory.stat()
    except OSError as error:
        raise StartRefused(
            f"server.http_addr: {directory}: {error.strerror}; make the directory first"
        ) from None
    if info.st_uid not in {os.geteuid(), 0} or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartRefused(
            f"server.http_addr: others may write to {directory}; "
            "put the socket into a directory of the signer's own, with mode 0700"
        )


def _remove_leftover(path: Path) -> None:
    """Remove the socket of a signer that was killed; never one that is listened on."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        raise StartRefused(f"server.http_addr: {path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise StartRefused(f"server.http_addr: {path} is there and unusable: {error.strerror}") from None
    raise StartRefused(f"server.http_addr: another process listens on {path}")
