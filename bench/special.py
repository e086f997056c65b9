"""Measurements that are no plain rate: memory, time to start, whole handshakes, latency under publishes."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tests.publisher import Client, ecdsa_key

from . import requests, seeding
from .figures import Figures, percentile
from .observing import Observation
from .publishing import Pushes
from .reading import Reads, read_all
from .requests import Request
from .seeding import Gun
from .sides import Side
from .uploads import targets

_PACED_CONNECTIONS = 4
_PAUSE_MS = 10
"""With four connections about 350 reads a second: too few to wait for each other."""
_BIG = 10_000
"""Tags of a large publish; the file has 2 MB."""
_FILES = 10_000
_LARGE_FILES = 100
_READING_SECONDS = 120


def added_latency(side: Side, seconds: int) -> Figures:
    """What one publisher of large files adds to the p99 of paced reads, in milliseconds."""
    reads = Reads(_timestamps, _PACED_CONNECTIONS, "random", pause_ms=_PAUSE_MS)
    quiet = reads(side, seconds)
    # Longer than the reads and the checks around them, so that these never see the end of it.
    publish = Pushes(1, _BIG).prepare(side, seconds + 1)
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        busy = reads(side, seconds)
        published = publishing.result()
    problems = (*quiet.problems, *busy.problems, *published.problems)
    return replace(busy, value=busy.p99 - quiet.p99, problems=tuple(dict.fromkeys(problems)))


def memory_of_reads(side: Side, _: int) -> Figures:
    """The peak of a freshly started server's largest process in MiB, after every file was asked for twice."""
    name = "many files"
    large = _large_guns()
    small = requests.guns((_FILES - _LARGE_FILES) // len(requests.guns(1)[0].files))
    side.seed(len(small))
    if name not in side.extras:
        side.insert(large)
        side.extras.add(name)
    side.restart()
    wanted = [requests.by_checksum(gun, role) for gun in (*small, *large) for role in gun.files]
    with Observation(side) as seen:
        problems = read_all(side, Reads(lambda _: wanted, 1), wanted * 2, _READING_SECONDS)
    figures = seen.figures(value=0, units=len(wanted) * 2, p50=0, p99=0, statuses={}, problems=problems)
    return replace(figures, value=figures.peak_mib)


@dataclass(frozen=True)
class FullHandshakes:
    """Requests one after the other, each on a new connection with a whole TLS handshake, as docker's are.

    `wrk` resumes its sessions and cannot be told not to. This client costs more than the server, so the value
    is how many units of `unit` requests the server would do in a second of CPU time.
    """

    make: Callable[[Side], Sequence[Request]]
    unit: int = 1

    def __call__(self, side: Side, seconds: int) -> Figures:
        """Run it; the latency is one request's, its handshake included."""
        wanted = itertools.cycle(self.make(side))
        client = Client(side.url, side.ca_file)
        latencies, statuses, problems = [], Counter[str](), set[str]()
        end = time.perf_counter() + seconds
        with Observation(side) as seen:
            while (begun := time.perf_counter()) < end:
                request = next(wanted)
                reply = client.get(request.path)
                latencies.append((time.perf_counter() - begun) * 1000)
                statuses[str(reply.status)] += 1
                if reply.status != request.status:
                    problems.add(f"GET {request.path}: {reply.status}")
        figures = seen.figures(
            value=0,
            units=len(latencies) / self.unit,
            p50=percentile(latencies, 0.5),
            p99=percentile(latencies, 0.99),
            statuses=statuses,
            problems=tuple(sorted(problems)),
        )
        return replace(figures, value=1000 / figures.cpu.server if figures.cpu.server else 0)


def time_to_ready(side: Side, _: int) -> Figures:
    """The seconds from starting signer and server until both say that they are ready."""
    return Figures(side.restart())


def _timestamps(_: Side) -> list[Request]:
    return [requests.current(gun, "timestamp") for gun in requests.guns(1000)]


@functools.cache
def _large_guns() -> list[Gun]:
    key, file = ecdsa_key(), targets(_BIG)
    return [
        Gun(f"{seeding.PREFIX}large/{n}", {"targets": file.file(key, n)}) for n in range(1, _LARGE_FILES + 1)
    ]
