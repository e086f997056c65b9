"""Keys from an address: a real HTTP server on the loopback interface that fails in every way."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from notary_common.tls import server_context
from notary_server.auth import key_url
from notary_server.auth.key_url import MAX_BYTES, KeyUrl
from tests.support.pki import local_pki
from tests.support.tokens import Signer, key_set

FIRST, SECOND = Signer(), Signer()


class TokenService(ThreadingHTTPServer):
    """Serves `body` with `status`, and counts how often it was asked."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.asked = 200, key_set(FIRST), 0
        self.hold = threading.Event()
        self.hold.set()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://localhost:{self.server_port}/keys"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Clients that do not like its certificate are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: TokenService

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.hold.wait(30)
        self.send_response(self.server.status)
        self.send_header("Location", "/keys")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[TokenService]:
    """A token service of its own for each test."""
    made = TokenService()
    yield made
    made.hold.set()
    made.shutdown()
    made.server_close()


async def _until(condition: Callable[[], bool]) -> None:
    # The condition is another thread's.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def _names(keys: KeyUrl) -> set[str]:
    return set() if keys.ring is None else {name for name in keys.ring.named if name.startswith("key ")}


async def test_an_early_look_brings_new_keys_and_is_rationed(service: TokenService) -> None:
    """A token with an unknown key causes one look; another at once is not worth one."""
    keys = KeyUrl(service.url, None, 300)
    assert await keys.look_early()
    assert _names(keys) == {"key 0"}
    service.body = key_set(FIRST, SECOND)
    assert not await keys.look_early()
    assert service.asked == 1


async def test_those_who_come_meanwhile_share_one_look(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many requests with the first token of a new key ask once, and a client that leaves spoils nothing."""
    monkeypatch.setattr(key_url, "EARLY_INTERVAL", 0.0)
    service.hold.clear()
    keys = KeyUrl(service.url, None, 300)
    waiting = [asyncio.create_task(keys.look_early()) for _ in range(20)]
    await _until(lambda: service.asked > 0)
    waiting[0].cancel()
    service.hold.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [True] * 19
    assert service.asked == 1
    assert not await keys.look_early(), "the same answer is no change"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""), (404, key_set(SECOND)), (302, key_set(SECOND)), (200, b"<html>"), (200, b'{"keys":[]}'),
        (200, key_set(SECOND) + b" " * MAX_BYTES),
    ],
)  # fmt: skip
async def test_a_bad_answer_leaves_the_last_good_keys(
    service: TokenService, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    """Errors, redirects, other documents, endless ones: what was good stays in force until there is better."""
    monkeypatch.setattr(key_url, "EARLY_INTERVAL", 0.0)
    keys = KeyUrl(service.url, None, 300)
    await keys.look_early()
    service.status, service.body = status, body
    assert not await keys.look_early()
    assert _names(keys) == {"key 0"}
    service.status, service.body = 200, key_set(FIRST, SECOND)
    assert await keys.look_early()
    assert _names(keys) == {"key 0", "key 1"}


async def test_no_answer_in_time_is_a_failure(service: TokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token service that hangs holds nobody up for long."""
    monkeypatch.setattr(key_url, "TIMEOUT", 0.2)
    service.hold.clear()
    keys = KeyUrl(service.url, None, 300)
    assert not await keys.look_early()
    assert keys.ring is None


async def test_a_watcher_looks_again_soon_after_a_failure(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual interval is minutes; after a failure it is seconds, doubled each time."""
    monkeypatch.setattr(key_url, "FIRST_RETRY", 0.01)
    service.status = 503
    keys = KeyUrl(service.url, None, 300)
    watching = asyncio.create_task(keys.run())
    await _until(lambda: service.asked >= 3)
    service.status = 200
    await _until(lambda: keys.ring is not None)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await keys.close()
    assert _names(keys) == {"key 0"}


async def test_the_address_proves_who_it_is(tmp_path: Path) -> None:
    """Over TLS the named authority counts, and nobody else's certificate."""
    here, there = tmp_path / "here", tmp_path / "there"
    authority, stranger = local_pki(here), local_pki(there)
    pair = authority.pair("server")
    service = TokenService(server_context(pair.certificate, pair.key))
    try:
        good = KeyUrl(service.url, authority.files.certificate, 300)
        assert await good.look_early()
        for wrong in (stranger.files.certificate, None):
            bad = KeyUrl(service.url, wrong, 300)
            assert not await bad.look_early()
            assert bad.ring is None
    finally:
        service.shutdown()
        service.server_close()


async def test_another_authority_counts_from_the_next_look_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read each time; while it is of no use the last good keys stay."""
    monkeypatch.setattr(key_url, "EARLY_INTERVAL", 0.0)
    authority, stranger = local_pki(tmp_path / "here"), local_pki(tmp_path / "there")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(stranger.files.certificate.read_bytes())
    pair = authority.pair("server")
    service = TokenService(server_context(pair.certificate, pair.key))
    keys = KeyUrl(service.url, ca_file, 300)
    try:
        assert not await keys.look_early()
        ca_file.write_bytes(authority.files.certificate.read_bytes())
        assert await keys.look_early()
        ca_file.write_text("nothing")
        assert not await keys.look_early()
        assert _names(keys) == {"key 0"}
    finally:
        service.shutdown()
        service.server_close()
