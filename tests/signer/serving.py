"""The signer's HTTP API in this process, over plain TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from notary_signer.http.routes import build_server
from notary_signer.operations import SignerService


@asynccontextmanager
async def served(service: SignerService) -> AsyncIterator[str]:
    """The address of `service` while the block runs."""
    runner = web.ServerRunner(build_server(service, max_request_bytes=1 << 20, request_timeout=5.0))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
