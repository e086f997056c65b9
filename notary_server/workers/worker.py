"""One worker process: the same services and HTTP server as a single process, over sockets that it inherited."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import uvloop
from gunicorn.workers.base import Worker

from notary_common.database import DatabaseError
from notary_common.log import get_logger, step_level
from notary_common.tls import TlsError
from notary_server.app import serve_on
from notary_server.metrics import SharedMetrics

if TYPE_CHECKING:
    from .manager import Application

PULSE_SECONDS: Final = 1.0
"""Between two signs of life; also how old what other workers show of this one's metrics may be."""
FAILED: Final = 1
"""Exit status of a worker that could not serve, or hung. Not gunicorn's own, which would end all the others."""

_log = get_logger("notary_server")


class ServerWorker(Worker):  # type: ignore[misc] # gunicorn has no types
    """Runs `serve_on` until told to stop; gunicorn makes it before the fork and calls it after.

    Attributes:
        born: when it was made, on the monotonic clock.
        slot: a small number that no other living worker has; set before the fork.
        leaving: whether it was told to finish (looked at in the master).
    """

    sockets: list[socket.socket]
    app: Application
    ppid: int

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.born = time.monotonic()
        self.slot = 0
        self.leaving = False

    @property
    def ready(self) -> bool:
        """In the master: whether it accepts connections."""
        try:
            return os.fstat(self.tmp.fileno()).st_size > 0
        except ValueError:
            # It has ended, and its file is closed.
            return False

    def load_wsgi(self) -> None:
        """There is no WSGI application."""

    def init_signals(self) -> None:
        """What the worker does on signals until its event loop runs."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        # Only the master reloads; a terminal that closes tells everybody.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The master has said on standard output what the level is now.
        signal.signal(signal.SIGUSR1, lambda *_: _quietly(1))
        signal.signal(signal.SIGUSR2, lambda *_: _quietly(-1))
        signal.signal(signal.SIGABRT, self._hung)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def run(self) -> None:
        """Serve. Ends the process with `FAILED` if that cannot be done."""
        try:
            uvloop.run(self._serve())
        except (TlsError, DatabaseError, OSError) as error:
            _log.error(f"a worker cannot serve: {error}")
        except Exception:  # noqa: BLE001 - gunicorn would print it
            _log.exception("a worker failed")
        else:
            return
        raise SystemExit(FAILED)

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        metrics = SharedMetrics(self.app.place.shared, self.slot)
        pulse = asyncio.create_task(self._pulse(metrics, stopped))
        try:
            plan = self.app.plan
            management = self.app.place.management
            await serve_on(plan.config, self.sockets, management, plan.tls, stopped, metrics, self._say_ready)
        finally:
            pulse.cancel()
            metrics.flush()

    def _say_ready(self) -> None:
        os.write(self.tmp.fileno(), b"1")

    async def _pulse(self, metrics: SharedMetrics, stopped: asyncio.Event) -> None:
        """Tell the master that the event loop turns, and notice when there is no master any more."""
        while True:
            self.notify()
            metrics.flush()
            if os.getppid() != self.ppid and not stopped.is_set():
                _log.error("the master process is gone; this worker finishes its requests and ends")
                stopped.set()
                # Nobody else is left to do it.
                shutil.rmtree(self.app.place.shared, ignore_errors=True)
            await asyncio.sleep(PULSE_SECONDS)

    def _hung(self, _number: int, frame: FrameType | None) -> None:
        """The master gave this worker up: say where it hangs, as far as Python can tell, and end."""
        where = [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in traceback.extract_stack(frame)]
        _log.critical("a worker hung and is replaced", pid=os.getpid(), where=where[-5:])
        os._exit(FAILED)


def _quietly(move: int) -> None:
    step_level(move)
