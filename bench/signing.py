"""Several signers over one registry and one token, the load that the server's own client makes, and the token alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from notary_common.tls import client_context
from notary_server.errors import NotaryError
from notary_server.metrics import Metrics
from notary_server.signing.remote_signer import HttpSigner
from notary_server.signing.transport import Endpoint
from notary_server.tuf.model import HeldKey, SigningOrder
from notary_server.tuf.names import TIMESTAMP, Gun
from notary_signer.token.module import find_module
from tests.support.payloads import canonical, timestamp_signed
from tests.support.stack import TOKEN_LABEL, Daemon, Stack

from .figures import Cpu, Figures, percentile
from .processes import cpu_ms
from .sides import postgres_cluster

CALL_SECONDS = 10.0
"""A signature that takes longer has failed, as in the server."""
WARM_UP_SECONDS = 1.0


class Signers:
    """PostgreSQL with fsync, one SoftHSM token, and as many signers as are asked for; ended with the block."""

    def __init__(self, folder: Path, number: int) -> None:
        self._cluster = postgres_cluster(folder)
        self._number = number
        self._folder = folder
        self._ending = ExitStack()
        self._versions: dict[Gun, int] = {}

    def __enter__(self) -> Signers:
        """Start everything."""
        with ExitStack() as ending:
            ending.callback(self._cluster.close)
            self._cluster.start()
            databases = (self._cluster.create_database("server"), self._cluster.create_database("signer"))
            quiet = {"logging": {"level": "error"}}
            self.stack = Stack(self._folder / "stack", databases=databases, signer_changes=quiet)
            ending.callback(self.stack.kill)
            self.stack.prepare()
            self.daemons: list[Daemon] = [self.stack.signer]
            self.daemons += [self.stack.another_signer(f"signer-{one}") for one in range(1, self._number)]
            for daemon in self.daemons:
                ending.callback(daemon.kill)
                daemon.start()
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self._ending.close()

    async def measure(self, number: int, callers: int, seconds: float) -> Figures:
        """So many signers, each caller with a repository of its own and one signature after the other."""
        files = self.stack.server_client
        tls = client_context(self.stack.ca_file, files.certificate, files.key)
        ports = [self.stack.port_of(daemon) for daemon in self.daemons[:number]]
        endpoints = [Endpoint(f"https://localhost:{port}", lambda: tls) for port in ports]
        client = HttpSigner(endpoints, CALL_SECONDS, Metrics().signers)
        try:
            guns = [Gun(f"bench.example/signer/{caller}") for caller in range(callers)]
            keys = [await client.create_key(gun, TIMESTAMP, "ecdsa") for gun in guns]
            await self._load(client, keys, WARM_UP_SECONDS)
            before = self._cpu(number)
            begun = time.perf_counter()
            latencies, problems = await self._load(client, keys, seconds)
            took = time.perf_counter() - begun
            used = [after - was for after, was in zip(self._cpu(number), before, strict=True)]
        finally:
            await client.close()
        done = max(len(latencies), 1)
        cpu = Cpu(signer=used[0] / done, database=used[1] / done)
        return figures(latencies, took, cpu, problems)

    async def _load(
        self, client: HttpSigner, keys: Sequence[HeldKey], seconds: float
    ) -> tuple[list[float], list[str]]:
        latencies: list[float] = []
        problems: list[str] = []
        end = time.perf_counter() + seconds

        async def calling(key: HeldKey) -> None:
            while (begun := time.perf_counter()) < end:
                # A key never signs a version below one that it has signed.
                version = self._versions[key.gun] = self._versions.get(key.gun, 0) + 1
                payload = canonical(timestamp_signed(version=version))
                try:
                    await client.sign(SigningOrder(key.gun, TIMESTAMP, version, payload, (key,)))
                except NotaryError as error:
                    problems.append(error.message)
                else:
                    latencies.append((time.perf_counter() - begun) * 1000)

        await asyncio.gather(*map(calling, keys))
        return latencies, list(dict.fromkeys(problems))

    def _cpu(self, number: int) -> list[float]:
        """CPU milliseconds of the signers, and of the database, so far."""
        signers = sum(cpu_ms(daemon.pid) for daemon in self.daemons[:number] if daemon.pid is not None)
        return [signers, cpu_ms(self._cluster.pid) if self._cluster.pid is not None else 0.0]

    def alone(self, number: int, seconds: float) -> Figures:
        """The token without a signer: so many processes that do nothing but sign."""
        command = [
            sys.executable, "-m", "bench.token_alone",
            str(find_module(None)), TOKEN_LABEL, str(self.stack.pin_file), str(seconds),
        ]  # fmt: skip
        with ExitStack() as ending:
            loops = []
            for _ in range(number):
                loop = subprocess.Popen(
                    command,
                    env=self.stack.environ,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                ending.callback(loop.kill)
                loops.append(loop)
            for loop in loops:
                assert loop.stdout is not None
                loop.stdout.readline()
            begun = time.perf_counter()
            latencies: list[float] = []
            for loop in loops:
                assert loop.stdin is not None
                loop.stdin.write("go\n")
                loop.stdin.flush()
            for loop in loops:
                said, _ = loop.communicate(timeout=seconds + 60)
                latencies += json.loads(said)
            return figures(latencies, time.perf_counter() - begun, Cpu(), [])


def figures(latencies: Sequence[float], seconds: float, cpu: Cpu, problems: Sequence[str]) -> Figures:
    """Signatures a second, and how long one took."""
    return Figures(
        value=len(latencies) / seconds,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        cpu=cpu,
        problems=tuple(problems),
    )
