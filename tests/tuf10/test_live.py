"""Real daemons, keys in a real token, unmodified clients in two languages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater

from notary_common.securesystemslib_signer import NotarySigner, NotarySignerError
from tests.publisher import Client, Publisher, Verifier
from tests.support.stack import Stack

from .owner import Owner, Server, days, delegation, in_bins, listing, signed

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / ".venv" / "node" / "node_modules"


@pytest.fixture
def live(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server of the stack; python-tuf believes its certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.ca_file))
    return Server(stack.url, stack.ca_file)


@pytest.fixture
def signer_files(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of somebody who signs; the signer's address."""
    monkeypatch.setenv("NOTARY_SSLIB_CA_FILE", str(stack.ca_file))
    monkeypatch.setenv("NOTARY_SSLIB_CERT_FILE", str(stack.server_client.certificate))
    monkeypatch.setenv("NOTARY_SSLIB_KEY_FILE", str(stack.server_client.key))
    return f"localhost:{stack.signer_port}"


def tuf_js(server: Server, gun: str, folder: Path, root: bytes, *paths: str) -> dict[str, Any]:
    """What tuf-js finds, with what it already has in `folder`."""
    folder.mkdir(exist_ok=True)
    if not (folder / "root.json").exists():
        (folder / "root.json").write_bytes(root)
    base = f"{server.url}/v2/{gun}/_trust/"
    environ = os.environ | {"NODE_PATH": str(NODE_MODULES), "NODE_EXTRA_CA_CERTS": str(server.ca_file)}
    script = str(Path(__file__).parent / "js" / "reader.js")
    done = subprocess.run(
        ["node", script, base + "tuf/", base + "targets/", str(folder), *paths],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def both(server: Server, gun: str, folder: Path, root: bytes, *paths: str) -> dict[str, str | None]:
    """What both clients find, which is the same."""
    updater: Updater = server.updater(gun, folder / "python", root)
    infos = {path: updater.get_targetinfo(path) for path in paths}
    found = {path: None if info is None else info.hashes["sha256"] for path, info in infos.items()}
    answer = tuf_js(server, gun, folder / "js", root, *paths)
    assert answer.get("found") == found, answer
    return found


def test_two_clients_follow_a_repository(live: Server, gun: str, tmp_path: Path) -> None:
    """First publish, delegations and bins, a new root with other keys of everybody, and targets after it."""
    owner = Owner(live, gun)
    alice, carol = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()
    owner.add("top.txt", b"top")
    owner.targets.delegations = delegation("alice", alice, paths=["a/*"])
    alices = listing("a/1")
    alices.delegations = in_bins(1, "bin", carol)
    bins = {f"bin-{number}": signed(listing("a/2", "a/3"), [carol]) for number in range(2)}
    root = owner.signed_root()
    live.publish(
        gun, {"root": root, "targets": owner.signed_targets(), "alice": signed(alices, [alice]), **bins}
    )
    found = both(live, gun, tmp_path, root, "top.txt", "a/1", "a/2", "none")
    assert [found[path] is not None for path in ("top.txt", "a/1", "a/2", "none")] == [
        True,
        True,
        True,
        False,
    ]

    old = owner.root_keys[0]
    owner.root_keys = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa()]
    owner.root.version = 2
    owner.root.revoke_key(old.public_key.keyid, "root")
    for signer in owner.root_keys:
        owner.root.add_key(signer.public_key, "root")
    owner.root.roles["root"].threshold = 2
    for role in ("snapshot", "timestamp"):
        owner.root.revoke_key(owner.root.roles[role].keyids[0], role)
        owner.root.add_key(live.online_key(gun, role, "POST"), role)
    owner.add("top.txt", b"new top")
    live.publish(gun, {"root": owner.signed_root(also=[old]), "targets": owner.next_targets()})
    later = both(live, gun, tmp_path, root, "top.txt", "a/2")
    assert (later["top.txt"] != found["top.txt"], later["a/2"]) == (True, found["a/2"])
    assert tuf_js(live, gun, tmp_path / "js", root)["root"] == 2


def test_python_tuf_signs_with_the_signer(stack: Stack, signer_files: str, gun: str) -> None:
    """Through an address of its own, as far as the signer's policy goes: never another role, a rollback, or a root."""
    assert SIGNER_FOR_URI_SCHEME["notary-signer"] is NotarySigner
    uri, key = NotarySigner.new(signer_files, gun, "timestamp")
    assert NotarySigner.import_(signer_files, uri.rsplit("/", 1)[1].partition("?")[0]) == (uri, key)
    signer = Signer.from_priv_key_uri(uri, key)
    timestamp = Metadata(Timestamp(version=3, expires=days(14), snapshot_meta=MetaFile(2)))
    timestamp.sign(signer)
    root = Root()
    root.add_key(key, "timestamp")
    root.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)
    refusals: list[tuple[Any, str]] = [
        (Timestamp(version=2, expires=days(14)), "rollback"),
        (Timestamp(version=4, expires=days(100)), "more than 60 days"),
        (Snapshot(version=4, expires=days(14)), "_type is not timestamp"),
        (Targets(version=4, expires=days(14)), "exactly the members"),
        (root, "not JSON of the kind that is signed"),
    ]
    for body, why in refusals:
        with pytest.raises(Exception, match="Failed to sign") as failed:
            Metadata(body).sign(signer)
        assert isinstance(failed.value.__cause__, NotarySignerError)
        assert why in str(failed.value.__cause__)
    with pytest.raises(NotarySignerError, match="the dialect tuf-1"):
        signer.sign(_notary_timestamp(4))
    wrong = Signer.from_priv_key_uri(uri.replace("timestamp", "snapshot"), key)
    with pytest.raises(NotarySignerError, match="made for the role timestamp"):
        wrong.sign(timestamp.signed_bytes)


def test_an_address_that_is_none(signer_files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said before anything is asked; a signer that is away, and one without a certificate to show."""
    key = CryptoSigner.generate_ecdsa().public_key
    for uri in (
        "notary-signer://h:1/?gun=g&role=timestamp",
        "notary-signer://h:1/k?gun=g&role=root",
        "notary-signer:k",
    ):
        with pytest.raises(ValueError, match="address of a key"):
            Signer.from_priv_key_uri(uri, key)
    with pytest.raises(NotarySignerError, match="cannot be asked"):
        Signer.from_priv_key_uri("notary-signer://localhost:1/k?gun=g&role=timestamp", key).sign(b"")
    monkeypatch.delenv("NOTARY_SSLIB_KEY_FILE")
    with pytest.raises(NotarySignerError, match="NOTARY_SSLIB_KEY_FILE"):
        NotarySigner.new(signer_files, "g", "timestamp")


def test_a_converted_repository_is_read_by_both_worlds(
    stack: Stack, live: Server, gun: str, tmp_path: Path
) -> None:
    """The old name goes on in Notary's dialect; the new one has the same targets, for clients of TUF 1.0."""
    client = Client(stack.url, ca_file=str(stack.ca_file))
    notary = Publisher(gun).learn(client)
    assert client.publish(gun, notary.first()).status == 200
    new = f"{gun}-tuf"
    for role in ("snapshot", "timestamp"):
        (tmp_path / f"{role}.json").write_bytes(live.ask("GET", f"/v2/{new}/_trust/tuf/{role}.key.json"))
    folder = tmp_path / "converted"
    arguments = ["--output", str(folder), "--snapshot-key", str(tmp_path / "snapshot.json"),
                 "--timestamp-key", str(tmp_path / "timestamp.json")]  # fmt: skip
    said = stack.server.check("repo", "convert", gun, *arguments)
    assert "TUF 1.0 knows no certificates" in said
    assert "exists already" in stack.server.command("repo", "convert", gun, *arguments).stderr

    root = Metadata[Root].from_file(str(folder / "root.json"))
    targets = Metadata[Targets].from_file(str(folder / "targets.json"))
    # The owner has new keys for the new name, or signs with the old ones: here, both.
    mine = CryptoSigner.generate_ecdsa()
    for role in ("root", "targets"):
        for keyid in list(root.signed.roles[role].keyids):
            root.signed.revoke_key(keyid, role)
        root.signed.add_key(mine.public_key, role)
    for file in (root, targets):
        file.sign(mine)
    first = root.to_bytes()
    live.publish(new, {"root": first, "targets": targets.to_bytes()})
    names = list(targets.signed.targets)
    found = both(live, new, tmp_path, first, *names)
    old = json.loads(client.role(gun, "targets.json").body)["signed"]["targets"]
    assert {name: old[name]["length"] for name in names} == {
        name: targets.signed.targets[name].length for name in old
    }
    assert all(found.values())
    assert Verifier(client, gun).problems() == []
    shown = stack.server.check("repo", "show", new)
    assert all(part in shown for part in ("timestamp", "SIGNERS OF", names[0])), shown
    assert (
        "holds TUF 1.0 metadata already"
        in stack.server.command(
            "repo", "convert", new, "--output", str(tmp_path / "again"), *arguments[2:]
        ).stderr
    )


def test_the_walk_through_is_true(stack: Stack, signer_files: str, tmp_path: Path) -> None:
    """The programs of docs/operations/tuf-1.0.md do what the page says, one after the other."""
    page = (ROOT / "docs" / "operations" / "tuf-1.0.md").read_text()
    first, following, read, sign = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    server, gun = Server(stack.url, stack.ca_file), "example/app"
    environ = os.environ | {"SSL_CERT_FILE": str(stack.ca_file)}

    def run(program: str) -> str:
        here = program.replace("localhost:4443", f"localhost:{stack.port}").replace(
            "localhost:7899", signer_files
        )
        done = subprocess.run(
            [sys.executable, "-c", here],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for role in ("snapshot", "timestamp"):
        name = f"{role}.key.json"
        (tmp_path / name).write_bytes(server.ask("GET", f"/v2/{gun}/_trust/tuf/{name}"))
    run(first)
    server.publish(gun, {name: (tmp_path / name).read_bytes() for name in ("root.json", "targets.json")})
    run(following)
    server.publish(gun, {"targets.json": (tmp_path / "targets.json").read_bytes()})
    assert run(read).startswith("hello.txt 5891b5b5")
    assert run(sign).startswith(f"notary-signer://{signer_files}/")


def _notary_timestamp(version: int) -> bytes:
    from tests.support.payloads import canonical, timestamp_signed

    return canonical(timestamp_signed(version=version))
