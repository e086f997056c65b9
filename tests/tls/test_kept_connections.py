"""Connections to the signer that are kept: used again only as long as they are as good as a new one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from notary_common.tls import client_context, server_context
from notary_server.signing import connection
from tests.support.pki import local_pki


async def test_a_kept_connection_is_as_good_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the context in use, and not older than five minutes; without TLS there is nothing that could change."""
    authority = local_pki(tmp_path)
    pair, client = authority.pair("server"), authority.pair("server-client")
    ca_file = authority.files.certificate

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    context = server_context(pair.certificate, pair.key, ca_file)
    async with await asyncio.start_server(quiet, "127.0.0.1", 0, ssl=context) as server:
        address = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        tls = client_context(ca_file, client.certificate, client.key)
        kept = await connection.connect(address, tls, None)
        assert kept.fresh(tls)
        assert kept.fresh(None)
        assert not kept.fresh(client_context(ca_file, client.certificate, client.key))
        monkeypatch.setattr(connection, "LIFETIME", 0.0)
        assert not kept.fresh(tls)
        assert kept.fresh(None)
        kept.close()
