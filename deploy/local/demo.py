"""`make demo`: publishes, lists and verifies with the real notary client, showing every command and what it prints."""

from __future__ import annotations

import os
import shlex
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from .layout import Layout, LocalError

_PASSPHRASES = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")


class Demo:
    """The steps of the demonstration, in a folder of its own: the person's own ~/.notary stays untouched."""

    def __init__(self, layout: Layout) -> None:
        self._url = f"https://localhost:{layout.server_port()}"
        self._ca = layout.tls / "ca.pem"
        # A new repository each time; the publisher's keys are made once and used again.
        self._gun = f"demo/hello-{time.strftime('%Y%m%d-%H%M%S')}"
        self._folder = layout.demo
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Good for throw-away keys only: anybody can read it here.
        self._environ = os.environ | {
            f"NOTARY_{name}_PASSPHRASE": "only-for-the-demo" for name in _PASSPHRASES
        }

    def play(self) -> None:
        """All steps.

        Raises:
            LocalError: one went wrong.
        """
        self._check_server()
        release = self._folder / "hello.txt"
        release.write_text("Hello, trusted world.\n")
        forged = self._folder / "forged.txt"
        forged.write_text("Hello, forged world.\n")
        print(
            f"\nThe publisher's keys and files are in {self._folder}; their pass phrase is only-for-the-demo."
        )
        print("\n# The publisher makes a repository, adds a file to it and signs.")
        self._notary("publisher", "init", self._gun)
        self._notary("publisher", "add", self._gun, "v1", str(release))
        self._notary("publisher", "publish", self._gun)
        print(
            "\n# Somebody else, who has never seen this repository, asks what is signed and checks the file."
        )
        reader = f"reader-{time.time_ns()}"
        self._notary(reader, "list", self._gun)
        self._notary(reader, "verify", "-q", self._gun, "v1", stdin=release)
        print("\nThat is right: the file is what the publisher signed. Now the same with a forged file.")
        self._notary(reader, "verify", "-q", self._gun, "v1", stdin=forged, fails=True)
        print("\nThat is right, too: the forged file is refused.")
        shutil.rmtree(self._folder / reader)

    def _check_server(self) -> None:
        try:
            context = ssl.create_default_context(cafile=str(self._ca))
            with urllib.request.urlopen(f"{self._url}/v2/", context=context, timeout=5):
                return
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise LocalError(
                f"No server answers at {self._url} ({reason}).\nType `make run` in another terminal first."
            ) from None

    def _notary(self, person: str, *arguments: str, stdin: Path | None = None, fails: bool = False) -> None:
        trust = self._folder / person
        command = ["notary", "-s", self._url, "--tlscacert", str(self._ca), "-d", str(trust), *arguments]
        shown = shlex.join(command) + (f" < {shlex.quote(str(stdin))}" if stdin else "")
        print(f"\n$ {shown}", flush=True)
        with stdin.open("rb") if stdin else open(os.devnull, "rb") as given:  # noqa: PTH123 - a device, not a file
            status = subprocess.run(command, env=self._environ, stdin=given, check=False).returncode
        if (status != 0) != fails:
            raise LocalError(
                f"notary ended with status {status}, which it should not have. The server's log tells more."
            )


def main(layout: Layout) -> int:
    """Play it; the exit status."""
    if shutil.which("notary") is None:
        print("The notary client is not installed: apt-get install notary", file=sys.stderr)
        return 1
    try:
        Demo(layout).play()
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(Layout()))
