"""Traces: one publish is one trace through both daemons, nothing secret is in it, and a collector that is away hurts nobody."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.publisher import Client, Publisher
from tests.support.stack import Stack, free_port

pytestmark = pytest.mark.faults
PATIENCE = 30.0


class Collector:
    """Takes OTLP over HTTP, as a collector does.

    Attributes:
        bodies: what arrived.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._spans: queue.Queue[tuple[str, Span]] = queue.Queue()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (service,) = (
                        one.value.string_value
                        for one in resource.resource.attributes
                        if one.key == "service.name"
                    )
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            collector._spans.put((service, span))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self, operation: str, number: int) -> list[tuple[str, Span]]:
        """The spans of the trace that begins with that operation, as soon as there are so many."""
        found: list[tuple[str, Span]] = []
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            roots = [one.trace_id for _, one in found if one.name == operation]
            chosen = [(service, one) for service, one in found if roots and one.trace_id == roots[-1]]
            if len(chosen) >= number:
                return chosen
            try:
                found.append(self._spans.get(timeout=1))
            except queue.Empty:
                continue
        raise AssertionError([one.name for _, one in found])

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that runs."""
    made = Collector()
    yield made
    made.close()


def publish(stack: Stack, gun: str) -> None:
    """A first publish."""
    client = Client(stack.url, str(stack.ca_file))
    publisher = Publisher(gun).learn(client)
    assert client.publish(gun, publisher.first()).status == 200


def test_a_publish_is_one_trace_through_both_daemons(collector: Collector, tmp_path: Path) -> None:
    """Each span hangs on another of the trace; their names tell what was done, and nothing else of it is there."""
    changes = {"tracing": {"endpoint": collector.url, "ratio": 1}, "logging": {"level": "info"}}
    with Stack(tmp_path / "stack", server_changes=changes, signer_changes=changes) as stack:
        publish(stack, "traced/app")
        spans = collector.spans("UpdateTUF", 15)
        names = [f"{service.removeprefix('notary-')}: {span.name}" for service, span in spans]
        for name in (
            "server: UpdateTUF",
            "server: database trust_state",
            "server: plan",
            "server: signer sign",
            "server: seal",
            "server: database commit",
            "signer: POST /v1/keys/KEY/sign",
            "signer: token sign",
        ):
            assert name in names, names
        known = {span.span_id for _, span in spans}
        (root,) = (span for _, span in spans if not span.parent_span_id)
        assert root.name == "UpdateTUF"
        assert all(span.parent_span_id in known for _, span in spans if span is not root)
        facts = {one.key: one.value for one in root.attributes}
        assert facts["gun"].string_value == "traced/app"
        assert facts["http.response.status_code"].int_value == 200
        lines = [line for line in stack.server_log.splitlines() if root.trace_id.hex() in line]
        assert any("response completed" in line for line in lines)
        assert root.trace_id.hex() in stack.signer_log
        pin = stack.pin_file.read_bytes().strip()
        for body in collector.bodies:
            assert pin not in body
            assert b"PRIVATE KEY" not in body


def test_without_a_collector_everything_goes_on(tmp_path: Path) -> None:
    """It is told, not more than once a minute, and the daemons end in time."""
    changes = {
        "tracing": {"endpoint": f"http://127.0.0.1:{free_port()}/v1/traces", "ratio": 1, "timeout": 0.2}
    }
    with Stack(tmp_path / "stack", server_changes=changes, signer_changes=changes) as stack:
        for number in range(5):
            publish(stack, f"lost/{number}")
        end = time.monotonic() + PATIENCE
        while "traces are not taken" not in stack.server_log and time.monotonic() < end:
            time.sleep(0.2)
        assert stack.server_log.count("traces are not taken") == 1
        assert stack.server.stop() == 0
        assert stack.signer.stop() == 0


def test_where_it_is_off_nothing_is_loaded() -> None:
    """A daemon without traces has nothing of them in memory."""
    look = (
        "import sys, notary_server.app, notary_server.cli, notary_signer.app; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
