"""Listening sockets: mutual TLS on TCP, or a Unix socket that only this user may open."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from aiohttp import web

from notary_common.tls import TlsError, server_context

from .config import Server
from .errors import StartRefused


async def listen(runner: web.ServerRunner, server: Server) -> str:
    """Listen where the configuration says; the address for people, with the port that was chosen for 0.

    Raises:
        StartRefused: TLS files, the address or the socket's directory cannot be used.
    """
    address = server.address
    if address.socket is not None:
        await web.SockSite(runner, unix_socket(address.socket)).start()
        return f"unix://{address.socket}"
    if server.tls_cert_file is None or server.tls_key_file is None or server.client_ca_file is None:
        raise StartRefused(
            "on TCP the signer needs tls_cert_file, tls_key_file and client_ca_file under server"
        )
    try:
        context = server_context(server.tls_cert_file, server.tls_key_file, server.client_ca_file)
        await web.TCPSite(runner, address.host or None, address.port, ssl_context=context).start()
    except TlsError as error:
        raise StartRefused(str(error)) from None
    except OSError as error:
        raise StartRefused(f"server.http_addr: cannot listen on {address}: {error.strerror}") from None
    port = runner.addresses[0][1]
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
