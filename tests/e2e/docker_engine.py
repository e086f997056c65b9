"""A docker engine, a registry and people with the real `docker` client, all apart from the machine's own."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import free_port
from tests.support.tools import SYSTEM_PATH, program

from .notary_cli import Shown, TrustServer

_START_SECONDS = 60.0


class EngineError(Exception):
    """The engine or the registry did not come up; the text holds the end of its log."""


def docker_client() -> str:
    """The docker client. Skips the test with one that no longer enforces content trust."""
    found = program("docker", "docker.io")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"version (\d+)", version)
    if number is None or int(number[1]) >= 29:
        pytest.skip(f"docker 29 and newer ignore content trust; this is {version.strip()}")
    return found


@contextmanager
def _process(command: list[str], log: Path, ready: str, address: dict[str, str]) -> Iterator[None]:
    """A background process that is up once `ready`, a shell-less command, succeeds."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env=os.environ | {"PATH": SYSTEM_PATH} | address,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _up(ready, address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _up(ready: str, address: dict[str, str]) -> bool:
    if ready.startswith("http"):
        try:
            with urllib.request.urlopen(ready, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True  # it answers, if only that it wants a token
        except OSError:
            return False
    done = subprocess.run([ready, "version"], env=os.environ | address, capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """dockerd with the vfs driver and without networks; gives its DOCKER_HOST."""
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    host = f"unix://{folder}/docker.sock"
    command = [
        program("dockerd", "docker.io"), "--storage-driver=vfs", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", f"--host={host}", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
        "--ip-masq=false", "--bridge=none",
    ]  # fmt: skip
    with _process(command, folder / "dockerd.log", docker_client(), {"DOCKER_HOST": host}):
        yield host


@contextmanager
def registry(
    folder: Path, port: int | None = None, auth: dict[str, dict[str, str]] | None = None
) -> Iterator[str]:
    """Debian's docker-registry on plain HTTP, which docker accepts from localhost; gives its `localhost:port`.

    Args:
        auth: that section of its configuration.
    """
    port = port or free_port()
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **({"auth": auth} if auth is not None else {}),
    }
    path = folder / "registry.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [program("docker-registry", "docker-registry"), "serve", str(path)]
    with _process(command, folder / "registry.log", f"http://127.0.0.1:{port}/v2/", {}):
        yield f"localhost:{port}"


@dataclass(frozen=True, slots=True)
class Workplace:
    """What all people of a test share: engine, registry, trust server."""

    host: str
    registry: str
    server: TrustServer


class DockerUser:
    """A person with a docker configuration, keys and trust data of their own; the engine is shared."""

    def __init__(self, folder: Path, place: Workplace) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._docker = docker_client()
        config = folder / ".docker"
        tls = config / "tls" / place.server.address
        tls.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.server.ca_file, tls / "ca.crt")
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")
        } | {
            "HOME": str(folder),
            "DOCKER_CONFIG": str(config),
            "DOCKER_HOST": place.host,
            "DOCKER_CONTENT_TRUST_SERVER": place.server.url,
            "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE": "only for tests",
            "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE": "only for tests",
        }

    def really_log_in(self, registry: str, name: str, password: str) -> str:
        """`docker login`; what it says."""
        return self.docker("login", "-u", name, "--password-stdin", registry, stdin=password)

    def try_(self, *arguments: str, trust: bool = False, stdin: str = "") -> Shown:
        """Run `docker`; `trust`: with DOCKER_CONTENT_TRUST=1."""
        done = subprocess.run(
            [self._docker, *arguments], cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=120,
            env=self._environ | ({"DOCKER_CONTENT_TRUST": "1"} if trust else {}), check=False,
        )  # fmt: skip
        return Shown(done.returncode, done.stdout, done.stderr)

    def docker(self, *arguments: str, trust: bool = False, stdin: str = "") -> str:
        """Run a `docker` command that has to succeed; what it prints."""
        shown = self.try_(*arguments, trust=trust, stdin=stdin)
        assert shown.status == 0, f"docker {' '.join(arguments)}: {shown.output}{shown.errors}"
        return shown.output

    def refused(self, *arguments: str, trust: bool = False) -> str:
        """Run a `docker` command that has to fail; what it prints."""
        shown = self.try_(*arguments, trust=trust)
        assert shown.status != 0, f"docker {' '.join(arguments)} was not refused: {shown.output}"
        return (shown.output + shown.errors).strip()

    def image(self, name: str, content: str) -> str:
        """Make the local image `name` of one small file; its id."""
        data = content.encode()
        with tarfile.open(self.folder / "image.tar", "w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        return self.docker("import", "image.tar", name).strip()

    def signatures(self, name: str) -> dict[str, tuple[str, list[str]]]:
        """`docker trust inspect` as tag -> (digest, signers)."""
        rows = self._inspected(name)["SignedTags"]
        return {row["SignedTag"]: (row["Digest"], sorted(row["Signers"])) for row in rows}

    def signers(self, name: str) -> list[str]:
        """The names that `docker trust inspect` lists as signers."""
        return sorted(row["Name"] for row in self._inspected(name)["Signers"])

    def _inspected(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("trust", "inspect", name))
        assert isinstance(found, dict)
        return found

    def log_in(self, registry: str, name: str) -> None:
        """Remember `name` for a registry, as `docker login` does; docker signs as that name."""
        secret = base64.b64encode(f"{name}:any".encode()).decode()
        (self.folder / ".docker" / "config.json").write_text(
            json.dumps({"auths": {registry: {"auth": secret}}})
        )

    def pushed_digest(self, name: str) -> str:
        """The digest under which the local image `name` was pushed, without `sha256:`."""
        digests = json.loads(self.docker("image", "inspect", "--format", "{{json .RepoDigests}}", name))
        repository = name.rpartition(":")[0]
        (found,) = {digest for digest in digests if digest.startswith(f"{repository}@")}
        return str(found).rpartition(":")[2]
