"""The master process: gunicorn's arbiter, which starts, watches, replaces and reloads the workers.

The master binds the sockets, builds the TLS context and holds the configuration; it opens neither database nor signer.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from notary_common.log import get_logger, level, set_level, step_level
from notary_common.tls import TlsError
from notary_common.tls.watch import PERIOD
from notary_server.metrics import forget_worker

from .plan import Place, Plan
from .worker import ServerWorker

HANG_SECONDS: Final = 30
"""A worker whose event loop has not turned for so long is given up."""
READY_SECONDS: Final = 30.0
"""A new worker that does not serve by then will not: opening everything takes a fraction of a second."""
PAUSE_SECONDS: Final = 2.0
"""Before a worker that ended without having served is replaced, so that this does not go on at full speed."""
DRAIN_SLACK: Final = 10
"""Seconds beyond `limits.shutdown_timeout` until a worker that was told to finish is killed: closing takes time too."""

_log = get_logger("notary_server")


def run(
    plan: Plan,
    listeners: Sequence[socket.socket],
    management: Sequence[socket.socket],
    address: str,
    workers: int,
    replan: Callable[[], Plan | None],
) -> None:
    """Be the master until SIGTERM or SIGINT, and until the workers have finished.

    Args:
        listeners: already listening, so that nobody is refused while workers come and go.
        management: likewise, for probes and metrics; may be none.
        address: of these, for people.
        replan: on SIGHUP, reads the configuration anew; None, with the reason logged, if it cannot be used.

    Raises:
        SystemExit: always; 0 after a signal, 1 if the workers did not come up.
    """
    # Readable for this user alone.
    with TemporaryDirectory(prefix="notary-server-") as shared:
        Manager(
            Application(plan, Place(address, Path(shared), tuple(management)), workers, replan), listeners
        ).run()


class GunicornLog:
    """What gunicorn says, as lines of ours. What it does by order is told by `Manager` and only for debugging here."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self._logger = logging.getLogger("gunicorn")
        self.critical = self._logger.critical
        self.error = self._logger.error
        self.warning = self._logger.warning
        self.exception = self._logger.exception
        self.info = self._logger.debug

    def setup(self, cfg: Any) -> None:
        """There is nothing to set up."""

    def debug(self, *_: Any, **__: Any) -> None:
        """Gunicorn's settings, most of which mean nothing here."""

    def reopen_files(self) -> None:
        """There are none."""

    def close_on_exec(self) -> None:
        """Nothing is executed."""


class Application(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """What gunicorn asks for its settings, and the workers for what to serve.

    Attributes:
        plan: what a worker that is started now serves.
        replan: see `run`.
    """

    def __init__(self, plan: Plan, place: Place, workers: int, replan: Callable[[], Plan | None]) -> None:
        self.plan = plan
        self.place = place
        self.replan = replan
        self._workers = workers
        super().__init__()

    def load_config(self) -> None:
        """Gunicorn's settings."""
        for name, value in {
            "workers": self._workers,
            "worker_class": ServerWorker,
            "worker_tmp_dir": str(self.place.shared),
            "logger_class": GunicornLog,
            "timeout": HANG_SECONDS,
            "graceful_timeout": _graceful_timeout(self.plan),
            "pre_fork": _before_fork,
            "child_exit": _after_exit,
            "control_socket_disable": True,
            "proc_name": "notary-server",
        }.items():
            self.cfg.set(name, value)


class Manager(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's arbiter with another idea of reloading: the old workers go when the new ones serve, not before."""

    SIGNALS: Final = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
    WORKERS: dict[int, ServerWorker]

    def __init__(self, app: Application, listeners: Sequence[socket.socket]) -> None:
        super().__init__(app)
        self.LISTENERS = list(listeners)
        self.WORKERS = {}
        self._stopping = False
        self._serving = False
        self._look_again = 0.0
        self.pause_until = 0.0

    def signal(self, sig: int, frame: Any) -> None:
        """Queue a signal; waiting for new workers ends at once when all are to stop."""
        self._stopping = self._stopping or sig in {signal.SIGTERM, signal.SIGINT}
        super().signal(sig, frame)

    def handle_int(self) -> None:
        """As SIGTERM: running requests finish."""
        self.handle_term()

    def handle_usr1(self) -> None:
        """Log more, everywhere."""
        self._step(1, signal.SIGUSR1)

    def handle_usr2(self) -> None:
        """Log less, everywhere."""
        self._step(-1, signal.SIGUSR2)

    def handle_hup(self) -> None:
        """Reload: the configuration and its files are read anew, new workers take over from the old ones."""
        plan = self.app.replan()
        if plan is None:
            return
        before, before_level = self.app.plan, level()
        old = list(self.WORKERS.values())
        self.app.plan = plan
        set_level(plan.config.logging.level)
        new = self._start_workers(self.num_workers)
        if not all(worker.ready for worker in new):
            self._dismiss(new)
            self.app.plan = before
            set_level(before_level)
            if not self._stopping:
                _log.error("reload failed: the new workers did not come up; the old ones go on serving")
            return
        self.cfg.set("graceful_timeout", _graceful_timeout(plan))
        self._dismiss(old)
        _log.info("reloaded: new workers serve, the old ones finish their requests", workers=len(new))

    def manage_workers(self) -> None:
        """Replace what died."""
        if time.monotonic() >= self._look_again:
            self.renew()
        staying = [worker for worker in self.WORKERS.values() if not worker.leaving]
        missing = self.num_workers - len(staying)
        if missing <= 0 or time.monotonic() < self.pause_until:
            return
        if self._serving:
            for _ in range(missing):
                self.spawn_worker()
            return
        started = self._start_workers(missing)
        if self._stopping:
            return
        if not all(worker.ready for worker in started):
            raise HaltServer("the workers did not come up", 1)
        self._serving = True
        _log.info("serving", address=self.app.place.address, workers=self.num_workers)

    def renew(self) -> None:
        """Take renewed certificates, for workers that are still to be forked. Those that serve watch by themselves
        and say what is wrong with what they cannot use."""
        self._look_again = time.monotonic() + PERIOD
        if self.app.plan.tls is not None:
            try:
                self.app.plan.tls.reload()
            except TlsError as error:
                _log.debug("the master keeps the certificates that it has", reason=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, it must not end the master
                _log.exception("looking at certificate files failed")

    def spawn_worker(self) -> int:
        """Fork one worker; its process ID."""
        # What is here now stays: a collection that touched it would copy it into every worker.
        gc.collect()
        gc.freeze()
        # Until the worker has its own handlers, the inherited ones would swallow what it is told.
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        try:
            pid: int = super().spawn_worker()
        except SystemExit as end:
            # Only the worker comes here, from far down in the master's calls, whose endings are not its own.
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)
        return pid

    def _start_workers(self, number: int) -> list[ServerWorker]:
        """New workers, each `ready` unless something went wrong or all are to stop."""
        started = [self.WORKERS[self.spawn_worker()] for _ in range(number)]
        deadline = time.monotonic() + READY_SECONDS
        while not all(worker.ready for worker in started) and not self._stopping:
            self.reap_workers()
            lost = any(worker.pid not in self.WORKERS for worker in started)
            if lost or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return started

    def _dismiss(self, workers: Sequence[ServerWorker]) -> None:
        for worker in workers:
            worker.leaving = True
            if worker.pid in self.WORKERS:
                self.kill_worker(worker.pid, signal.SIGTERM)

    def _step(self, move: int, number: int) -> None:
        sys.stdout.write(step_level(move) + "\n")
        sys.stdout.flush()
        self.kill_workers(number)


def _graceful_timeout(plan: Plan) -> int:
    return int(plan.config.limits.shutdown_timeout) + DRAIN_SLACK


def _before_fork(manager: Manager, worker: ServerWorker) -> None:
    manager.renew()
    taken = {other.slot for other in manager.WORKERS.values()}
    worker.slot = next(slot for slot in count() if slot not in taken)


def _after_exit(manager: Manager, worker: ServerWorker) -> None:
    forget_worker(manager.app.place.shared, worker.slot)
    now = time.monotonic()
    if now - worker.born < PAUSE_SECONDS and not worker.leaving:
        manager.pause_until = now + PAUSE_SECONDS
