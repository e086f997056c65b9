"""Reads under load: wrk plays a list of requests against one side, and the answers are checked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.publisher import Client

from .figures import Figures
from .observing import Observation
from .requests import Request
from .sides import Side

_SCRIPT = Path(__file__).with_name("wrk.lua")
_CHECKED = 12
"""So many requests are sent by another client too, before and after, and the answers compared by bytes."""
_PASSES = 3
"""For each process, where there are several."""
_PRIMING_SECONDS = 60
"""Enough for the reference to fetch some thousand files from its database."""


class WrkError(Exception):
    """wrk is missing or failed; the text says why."""


@dataclass(frozen=True)
class Reads:
    """A load of GETs.

    Attributes:
        make: the requests to one side.
        connections: how many at once.
        order: `cycle` (as listed, over and over) or `random`.
        close: every request on a new connection.
        pause_ms: how long each connection rests before a request.
        unit: requests that make one unit of work.
    """

    make: Callable[[Side], Sequence[Request]]
    connections: int
    order: str = "cycle"
    close: bool = False
    pause_ms: int = 0
    unit: int = 1

    def __call__(self, side: Side, seconds: int) -> Figures:
        """Play it; the value is units of work per second."""
        wanted = self.make(side)
        if self not in side.primed:
            # Servers that have run for long have their caches full. What takes longer stays cold.
            # Nobody can say which of several processes answers; after some passes all have seen nearly all.
            passes = 1 if side.processes == 1 else _PASSES * side.processes
            read_all(side, self, [*wanted] * passes, _PRIMING_SECONDS)
            side.primed.add(self)
        problems = check(side, wanted)
        with Observation(side) as seen:
            told = play(side, self, wanted, seconds)
        requests = max(told["requests"], 1)
        problems += complaints(told, wanted)
        problems += check(side, wanted)
        return seen.figures(
            value=requests / self.unit / (told["microseconds"] / 1e6),
            units=requests / self.unit,
            p50=told["p50"] / 1000,
            p99=told["p99"] / 1000,
            statuses=_statuses(told, wanted),
            problems=problems,
        )


def read_all(side: Side, load: Reads, wanted: Sequence[Request], seconds: int) -> tuple[str, ...]:
    """Ask for everything once, in order, for `seconds` at most; what went wrong.

    Over one connection to each process: the reference dies when several read what it has not in memory yet.
    """
    load = replace(load, connections=side.processes, order="cycle", close=False)
    left, problems = wanted, dict[str, None]()
    for _ in range(seconds):
        told = play(side, load, left, 1)
        problems |= dict.fromkeys(complaints(told, wanted))
        left = left[told["requests"] :]
        if not left:
            return tuple(problems)
    return (*problems, f"{len(left)} of {len(wanted)} requests were not sent in {seconds} s")


def play(side: Side, load: Reads, wanted: Sequence[Request], seconds: int) -> dict[str, Any]:
    """Run wrk once; what the script told."""
    with paths_file(wanted) as paths, running(side, load, paths, seconds) as process:
        return finished(process)


@contextmanager
def paths_file(wanted: Sequence[Request]) -> Iterator[Path]:
    """The addresses in a file, for wrk's script."""
    with tempfile.NamedTemporaryFile("w", prefix="notary-bench-", suffix=".paths") as file:
        file.writelines(request.path + "\n" for request in wanted)
        file.flush()
        yield Path(file.name)


@contextmanager
def running(side: Side, load: Reads, paths: Path, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """wrk at work; ended at the latest with the block."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkError("wrk is not installed: apt-get install wrk")
    close = ["--header", "Connection: close"] if load.close else []
    process = subprocess.Popen(
        [program, "--threads", "1", "--connections", str(load.connections), "--duration", f"{seconds}s",
         "--timeout", "30s", "--latency", *close, "--script", str(_SCRIPT), side.url, "--",
         str(paths), load.order, str(load.pause_ms)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for wrk; what the script told.

    Raises:
        WrkError: it failed.
    """
    output, _ = process.communicate()
    if process.returncode != 0:
        raise WrkError(f"wrk: {output[-500:]}")
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    return told


def check(side: Side, wanted: Sequence[Request]) -> tuple[str, ...]:
    """Send a sample of the requests one by one; what is wrong with the answers."""
    known = [request for request in wanted if request.sha256 is not None] or wanted
    step = max(len(known) // _CHECKED, 1)
    client = side.client()
    try:
        return tuple(problem for request in known[::step][:_CHECKED] for problem in _wrong(client, request))
    finally:
        client.close()


def _wrong(client: Client, request: Request) -> Iterator[str]:
    reply = client.get(request.path)
    if reply.status != request.status:
        yield f"GET {request.path}: {reply.status} instead of {request.status}"
    elif request.sha256 is not None and hashlib.sha256(reply.body).hexdigest() != request.sha256:
        yield f"GET {request.path}: not the bytes that are stored"


def _statuses(told: dict[str, Any], wanted: Sequence[Request]) -> dict[str, int]:
    """wrk tells errors (400 and more) from the rest without its slow callback for every answer."""
    refused, sound = told["http"], told["requests"] - told["http"]
    named = "404" if all(request.status == 404 for request in wanted) else "4xx/5xx"
    broken = {name: told[name] for name in ("connect", "read", "write", "timeout")}
    counts = {"200": sound, named: refused} | {f"{name} failed": count for name, count in broken.items()}
    return {name: count for name, count in counts.items() if count}


def complaints(told: dict[str, Any], wanted: Sequence[Request]) -> tuple[str, ...]:
    """What is wrong with a run as a whole."""
    statuses = _statuses(told, wanted)
    expected = {str(request.status) for request in wanted}
    found = [f"{count} x {name}" for name, count in statuses.items() if name not in expected]
    if not told["requests"]:
        found.append("no answers at all")
    elif told["bytes"] / told["requests"] < min(request.length for request in wanted):
        found.append("answers are shorter than the files")
    return tuple(found)
