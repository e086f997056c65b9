"""Several worker processes are one server: one certificate, one set of sessions, one set of metrics, and no request lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.files import overlay, write_document
from tests.publisher import Client, Reply
from tests.support.pki import LOCAL_NAMES

from .repository import Repository
from .rig import Rig, eventually
from .workers import Master, alive

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def master(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """Two workers that every test leaves running."""
    with Master(rig, tmp_path_factory.mktemp("workers")) as running:
        yield running


def _handshake(
    master: Master, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool, bytes]:
    """A request on a connection of its own: its session, whether that was resumed, the server's certificate."""
    with (
        socket.create_connection(("localhost", master.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
    ):
        secured.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := secured.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        return secured.session, bool(secured.session_reused), secured.getpeercert(binary_form=True) or b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_worker_is_resumed_by_the_other(master: Master, version: ssl.TLSVersion) -> None:
    """Both made their tickets with the keys of one context."""
    context = ssl.create_default_context(cafile=master.ca_file)
    context.minimum_version = context.maximum_version = version
    first, second = sorted(master.two())
    with master.only(first):
        session, resumed, _ = _handshake(master, context, None)
        assert not resumed
    with master.only(second):
        _, resumed, _ = _handshake(master, context, session)
    assert resumed


def test_a_renewed_certificate_needs_no_reload_and_leaves_sessions_alone(master: Master) -> None:
    """Both workers take it by themselves, and a session of before is resumed by the one that did not begin it."""
    context = ssl.create_default_context(cafile=master.ca_file)
    first, second = sorted(master.two())
    with master.only(first):
        session, _, before = _handshake(master, context, None)
    master.authority.issue("server", LOCAL_NAMES)
    for worker in (first, second):
        with master.only(worker):
            eventually(lambda: _handshake(master, context, None)[2] != before, "it shows the new one")
    with master.only(second):
        assert _handshake(master, context, session)[1]
    assert set(master.two()) == {first, second}


def _counted(master: Master) -> int:
    """How many requests for a timestamp of a GUN that is not there all workers together counted."""
    text = master.client.get("/metrics").body.decode()
    found = re.search(
        r'notary_server_http_requests_total\{code="404",method="get",operation="GetRole"\} (\S+)', text
    )
    assert 'quantile="' not in text
    return int(float(found[1])) if found else 0


def test_metrics_are_those_of_the_whole_server(master: Master) -> None:
    """Whichever worker answers, it tells the sum; a worker that is killed takes nothing with it that was shown."""
    first, second = sorted(master.two())
    before = _counted(master)
    for worker, requests in ((first, 3), (second, 4)):
        with master.only(worker):
            for _ in range(requests):
                assert master.client.role("example.com/nobody/nothing", "timestamp.json").status == 404
    for worker in (first, second):
        # A worker shows what it counted once a second.
        eventually(lambda: _counted(master) == before + 7, "the metrics of both are added up")
        with master.only(worker):
            assert _counted(master) == before + 7
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in master.workers and len(master.workers) == 2, "the dead one is replaced")
    assert _counted(master) == before + 7


def test_no_worker_is_missed(master: Master) -> None:
    """A worker that dies is replaced, and requests are answered all the while."""
    (victim, other) = sorted(master.two())
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert master.answers()
    eventually(lambda: len(master.workers) == 2 and victim not in master.workers, "it is replaced")
    assert other in master.workers


class _Load(threading.Thread):
    """Asks without pause; `failed` holds whatever was no 200."""

    def __init__(self, ask: Callable[[], Reply]) -> None:
        super().__init__(daemon=True)
        self.ask = ask
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until `stopping`."""
        while not self.stopping.is_set():
            try:
                reply = self.ask()
            except OSError as error:
                self.failed.append(repr(error))
            else:
                self.answered += 1
                if reply.status != 200:
                    self.failed.append(str(reply))


class _KeptAlive:
    """One connection for as long as the server keeps it: a new one only after `Connection: close`."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._open: Client | None = None

    def __call__(self) -> Reply:
        if self._open is None:
            url = f"https://localhost:{self._master.port}"
            self._open = Client(url, self._master.ca_file, keep_alive=True)
        reply = self._open.get("/v2/")
        if reply.headers.get("connection", "").lower() == "close":
            self._open = None
        return reply


def test_a_reload_loses_no_request_and_takes_the_new_certificate(master: Master) -> None:
    """SIGHUP: new workers with the files as they are now; the old ones go when they have answered everybody."""
    repository = Repository(master.client)
    assert repository.publish(1).status == 200
    context = ssl.create_default_context(cafile=master.ca_file)
    _, _, old_certificate = _handshake(master, context, None)
    loads = [
        _Load(lambda: master.client.get("/v2/")),
        _Load(lambda: master.client.role(repository.gun, "timestamp.json")),
        _Load(_KeptAlive(master)),
    ]
    for load in loads:
        load.start()
    for _ in range(2):
        before, counts = master.two(), [load.answered for load in loads]
        master.authority.issue("server", LOCAL_NAMES)
        master.send(signal.SIGHUP)
        eventually(lambda before=before: not before & master.workers, "the old workers are gone")  # type: ignore[misc]
        assert len(master.workers) == 2
        eventually(
            lambda counts=counts: all(  # type: ignore[misc]
                load.answered > count + 20 for load, count in zip(loads, counts, strict=True)
            ),
            "everybody is answered by the new workers",
        )
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(30)
        assert load.failed == []
    _, _, new_certificate = _handshake(master, context, None)
    assert new_certificate != old_certificate


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"server": {"tls_key_file": "gone.pem"}}, "server.tls_key_file"),
        ({"server": {"http_addr": "localhost:1"}}, "server.http_addr: cannot change"),
        ({"storage": {"db_url": "postgres://nobody@127.0.0.1:1/none?sslmode=disable"}}, "storage.db_url"),
        ({"trust_service": {"type": "local"}}, "trust_service.type"),
    ],
)
def test_what_cannot_be_used_is_not_taken(master: Master, changes: dict[str, object], said: str) -> None:
    """SIGHUP with a bad configuration: the log says what is wrong, the same workers go on."""
    before, length = master.two(), len(master.log)
    write_document(master.config, overlay(master.document, changes))
    try:
        master.send(signal.SIGHUP)
        eventually(lambda: "reload refused" in master.log[length:], "the log says so")
    finally:
        write_document(master.config, master.document)
    assert said in master.log[length:]
    assert master.workers == before
    assert master.answers()


def test_the_log_level_is_everybodys(rig: Rig, tmp_path: Path) -> None:
    """SIGUSR2 lowers the level in master and workers, SIGUSR1 raises it; standard output says it once, as Notary does."""
    with Master(rig, tmp_path) as master:

        def logs() -> bool:
            before = master.log.count("response completed")
            assert master.answers()
            return master.log.count("response completed") > before

        workers = master.two()
        assert logs()
        for number, said, wanted in (
            (signal.SIGUSR2, "log level to warning", False),
            (signal.SIGUSR1, "log level to info", True),
        ):
            master.send(number)
            for worker in workers:
                with master.only(worker):
                    eventually(lambda wanted=wanted: logs() is wanted, said)  # type: ignore[misc]
            assert master.log.count(f"Successfully setting {said}") == 1
        assert len(master.workers) == 2


def test_sigterm_lets_a_publish_finish(rig: Rig, tmp_path: Path) -> None:
    """What runs is answered and stored, new connections are refused, nothing is left behind, the status is 0."""
    with Master(rig, tmp_path) as master:
        repository = Repository(master.client)
        assert repository.publish(1).status == 200
        replies: list[Reply] = []
        publishing = threading.Thread(target=lambda: replies.append(repository.publish(2)), daemon=True)
        with rig.gateway.hold("timestamp", "before") as hold:
            publishing.start()
            hold.wait()
            workers = master.two()
            master.send(signal.SIGTERM)
            eventually(lambda: not master.answers(), "nobody else is let in")
        publishing.join(30)
        assert [reply.status for reply in replies] == [200]
        assert master.process.wait(30) == 0
        assert not any(alive(pid) for pid in workers)
        assert list(master.scratch.iterdir()) == []
        assert "Traceback" not in master.log
    repository.client = rig.client
    assert repository.problems(2) == []


def test_workers_do_not_outlive_their_master(rig: Rig, tmp_path: Path) -> None:
    """kill -9 of the master: the workers notice, end, and leave the port and the temporary directory."""
    with Master(rig, tmp_path) as master:
        workers = master.two()
        os.kill(master.process.pid, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in workers), "the workers have ended")
        assert not master.answers()
        assert list(master.scratch.iterdir()) == []


def test_a_worker_that_hangs_is_replaced(rig: Rig, tmp_path: Path) -> None:
    """A worker that gives no sign of life is killed, and another one takes its place."""
    shortened = "import notary_server.workers.manager as m; m.HANG_SECONDS = 3"
    with Master(rig, tmp_path, prelude=shortened) as master:
        hung, other = sorted(master.two())
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: hung not in master.workers and len(master.workers) == 2, "it is replaced")
        assert other in master.workers
        assert master.answers()


def test_workers_that_cannot_start_end_the_server(rig: Rig, tmp_path: Path) -> None:
    """No start is tried for ever: the log says why, and the status is 1."""
    broken = (
        "import notary_server.workers.worker as w\n"
        "def fail(*_, **__): raise OSError('no more of that')\n"
        "w.serve_on = fail"
    )
    master = Master(rig, tmp_path, prelude=broken)
    with pytest.raises(AssertionError, match="no more of that"), master:
        pass
    assert master.process.returncode == 1
    assert master.log.count("a worker cannot serve") == 2
    assert list(master.scratch.iterdir()) == []
