"""`repo verify | prune | export | import | renew` of a live TUF 1.0 repository: keys are asked of the real signer, clients read on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import Stack

from .owner import Owner, Refused, Server


def _repo(stack: Stack, *words: str) -> tuple[int, list[dict[str, object]]]:
    """The status of a `repo` command, and its lines of JSON."""
    command = (sys.executable, "-m", "notary_server", "repo", *words, "--config", str(stack.server_config))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    if words[0] == "prune":
        return done.returncode, [json.loads(done.stdout)]
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_verified_pruned_and_read(
    stack: Stack, gun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong before and after; with the signer away only the keys are in doubt."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.ca_file))
    server = Server(stack.url, stack.ca_file)
    owner = Owner(server, gun)
    root = owner.first()
    owner.add("file", b"content")
    server.publish(gun, {"targets": owner.next_targets()})
    assert _repo(stack, "verify", gun, "--json")[0] == 0
    assert _repo(stack, "prune", gun, "--json") == (
        0,
        [{"dry_run": False, "repositories": 1, "rows": 0, "bytes": 0, "torn": []}],
    )
    updater = server.updater(gun, tmp_path / "client", root)
    updater.refresh()
    assert updater.get_targetinfo("file") is not None
    stack.signer.stop()
    try:
        status, lines = _repo(stack, "verify", gun, "--json")
    finally:
        stack.signer.start()
    assert status == 1
    assert [line.get("kind") for line in lines] == ["signer", None]


@pytest.mark.parametrize("stack", ["sqlite"], indirect=True)
def test_moved_as_a_file(stack: Stack, gun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TUF 1.0 repository is deleted, imported from its archive, verified, renewed and read by a client with a cache."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.ca_file))
    server = Server(stack.url, stack.ca_file)
    owner = Owner(server, gun)
    root = owner.first()
    owner.add("file", b"content")
    server.publish(gun, {"targets": owner.next_targets()})
    server.updater(gun, tmp_path / "client", root).refresh()
    archive = str(tmp_path / "app.tar")
    stack.server.check("repo", "export", gun, "--output", archive)
    server.ask("DELETE", f"/v2/{gun}/_trust/tuf/")
    assert "1 imported, 0 current, 0 refused" in stack.server.check("repo", "import", archive)
    stack.server.check("repo", "verify", gun)
    stack.server.check("repo", "renew", gun)
    updater = server.updater(gun, tmp_path / "client", root)
    updater.refresh()
    assert updater.get_targetinfo("file") is not None
    owner.add("more", b"content")
    server.publish(gun, {"targets": owner.next_targets()})


def test_a_reset_repository_begins_anew_with_the_same_online_keys(
    stack: Stack, gun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner takes the name; versions go on, and what is printed is for users of TUF 1.0."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.ca_file))
    server = Server(stack.url, stack.ca_file)
    owner = Owner(server, gun)
    old = owner.first()
    for number in range(3):
        owner.add(f"file{number}", b"content")
        server.publish(gun, {"targets": owner.next_targets()})
    before = json.loads(server.file(gun, "timestamp.json"))["signed"]["version"]
    keys = {role: server.online_key(gun, role).keyid for role in ("snapshot", "timestamp")}
    command = (sys.executable, "-m", "notary_server", "repo", "reset", gun, "--yes", "--json")
    done = subprocess.run(
        [*command, "--config", str(stack.server_config)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert sorted(told["next"]) == ["The owner", "python-tuf and other clients"]
    assert [entry["tag"] for entry in told["tags"]] == ["file0", "file1", "file2"]
    assert {role: server.online_key(gun, role).keyid for role in keys} == keys
    with pytest.raises(Refused, match="this repository was reset"):
        server.publish(gun, {"root": old, "targets": owner.next_targets()})
    successor = Owner(server, gun)
    root = successor.first()
    updater = server.updater(gun, tmp_path / "client", root)
    updater.refresh()
    assert json.loads(server.file(gun, "timestamp.json"))["signed"]["version"] > before
