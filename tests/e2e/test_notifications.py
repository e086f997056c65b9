"""A real publisher's work, heard by a receiver of webhooks and by a listener of the stream, and the commands beside it."""

from __future__ import annotations

import base64
import json
import queue
import secrets
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack

from .conftest import throw_away_stack
from .notary_cli import Person, TrustServer

pytestmark = pytest.mark.e2e
PATIENCE = 30.0


class Inbox:
    """A receiver, and what it got. `status`: what it answers."""

    def __init__(self) -> None:
        self.status = 204
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if inbox.status == 204:
                    inbox.events.put(json.loads(body))
                self.send_response(inbox.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> tuple[str, str, dict[str, Any]]:
        """Kind, repository and data of the next event."""
        event = self.events.get(timeout=PATIENCE)
        return event["type"].rpartition(".")[2], event["subject"], event["data"]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A receiver that takes everything."""
    made = Inbox()
    yield made
    made.close()


@pytest.fixture
def stack(inbox: Inbox, tmp_path: Path) -> Iterator[Stack]:
    """Ours, with that receiver configured."""
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    secret.chmod(0o600)
    hook = {"name": "ci", "url": inbox.url, "secret_file": str(secret), "gun_prefixes": ["example.com/"]}
    changes = {"notifications": {"source": "test", "webhooks": [hook]}}
    with throw_away_stack(server_changes=changes) as made:
        yield made


def listened(stack: Stack, heard: queue.Queue[dict[str, Any]], ready: threading.Event) -> None:
    """Put every record of the stream into `heard`, until the server ends it."""
    request = urllib.request.Request(
        f"{stack.url}/v2/_trust/changefeed", headers={"Accept": "text/event-stream"}
    )
    with urllib.request.urlopen(request, context=stack.client_context(), timeout=PATIENCE) as answer:
        for line in answer:
            if line.startswith(b"retry"):
                ready.set()
            if line.startswith(b"data: "):
                heard.put(json.loads(line[6:]))


def test_publishes_rotations_and_deletions_are_told(stack: Stack, inbox: Inbox, tmp_path: Path) -> None:
    """In order, once each; only what is wanted by webhook, and everything on the stream. The commands say how it stands."""
    heard: queue.Queue[dict[str, Any]] = queue.Queue()
    ready = threading.Event()
    listener = threading.Thread(target=listened, args=(stack, heard, ready), daemon=True)
    listener.start()
    assert ready.wait(PATIENCE)
    owner = Person(tmp_path / "owner", TrustServer(stack.url, stack.ca_file))
    gun = "example.com/told"
    owner.notary("init", "-p", gun)
    owner.notary("init", "-p", "elsewhere.example/app")
    owner.notary("key", "rotate", gun, "timestamp", "-r")
    assert inbox.next() == (
        "published",
        gun,
        {"gun": gun, "version": 1, "sha256": heard.get(timeout=PATIENCE)["SHA256"]},
    )
    assert inbox.next()[:2] == ("published", gun)
    kind, _, data = inbox.next()
    assert kind == "keys-rotated"
    assert list(data["roles"]) == ["timestamp"]
    assert [len(data["roles"]["timestamp"][what]) for what in ("added", "removed")] == [1, 1]
    owner.notary("delete", "--remote", gun)
    assert inbox.next()[:2] == ("deleted", gun)
    records = [heard.get(timeout=PATIENCE) for _ in range(3)]
    assert [(record["GUN"], record["Category"]) for record in records] == [
        ("elsewhere.example/app", "update"),
        (gun, "update"),
        (gun, "deletion"),
    ]
    config = str(stack.server_config)
    (row,) = json.loads(stack.server.check("webhooks", "list", "--config", config, "--json"))
    assert (row["name"], row["url"], row["failed_tries"]) == ("ci", inbox.url, 0)
    assert stack.server.check("webhooks", "test", "--config", config, "ci").strip() == "ci took it"
    assert inbox.next()[1] == "webhook-test"
    inbox.status = 500
    refused = stack.server.command("webhooks", "test", "--config", config, "ci")
    assert (refused.returncode, refused.stderr.strip()) == (
        1,
        "notary-server: ci did not take it: it answered 500",
    )
    assert "no events were given up" in stack.server.check("webhooks", "dead", "--config", config)
    assert stack.server.command("webhooks", "test", "--config", config, "nobody").returncode == 1
    stack.server.stop()
    listener.join(PATIENCE)
    assert not listener.is_alive()
