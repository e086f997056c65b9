"""What python-tuf's client reads: rotations, delegations, expiry, and files that are kept elsewhere."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError

from .conftest import Timed
from .owner import Owner, Refused, Server, days, delegation, in_bins, listing, signed


def digest(updater: object, path: str) -> str | None:
    """The SHA-256 that a client finds for a target, None if it finds none."""
    found = updater.get_targetinfo(path)  # type: ignore[attr-defined]
    return None if found is None else str(found.hashes["sha256"])


def test_a_client_follows_roots_and_keys_that_change(server: Server, gun: str, tmp_path: Path) -> None:
    """A client of the first root comes to the newest through every rotation: root, threshold, targets and server keys."""
    owner = Owner(server, gun)
    owner.add("a", b"one")
    first = owner.first()
    early = server.updater(gun, tmp_path / "early", first)
    assert digest(early, "a") is not None

    old = owner.root_keys[0]
    owner.root_keys = [
        CryptoSigner.generate_ecdsa(),
        CryptoSigner.generate_rsa(),
        CryptoSigner.generate_ed25519(),
    ]
    owner.root.version = 2
    owner.root.revoke_key(old.public_key.keyid, "root")
    for signer in owner.root_keys:
        owner.root.add_key(signer.public_key, "root")
    owner.root.roles["root"].threshold = 2
    server.publish(gun, {"root": owner.signed_root(also=[old])})

    owner.root.version = 3
    gone = owner.targets_keys.pop()
    owner.targets_keys.append(CryptoSigner.generate_ecdsa())
    owner.root.revoke_key(gone.public_key.keyid, "targets")
    owner.root.add_key(owner.targets_keys[0].public_key, "targets")
    for role in ("snapshot", "timestamp"):
        owner.root.revoke_key(owner.root.roles[role].keyids[0], role)
        owner.root.add_key(server.online_key(gun, role, "POST"), role)
    owner.add("a", b"two")
    server.publish(gun, {"root": owner.signed_root(), "targets": owner.next_targets()})

    wanted = owner.targets.targets["a"].hashes["sha256"]
    for name in ("early", "late"):
        assert digest(server.updater(gun, tmp_path / name, first), "a") == wanted
    assert [
        json.loads(server.file(gun, f"{number}.root.json"))["signed"]["version"] for number in (1, 2, 3)
    ] == [1, 2, 3]
    with pytest.raises(Refused) as missing:
        server.file(gun, "4.root.json")
    assert missing.value.status == 404


def test_received_bytes_are_served_as_they_came(server: Server, gun: str) -> None:
    """By version and as the current one, with the writer's own white space."""
    owner = Owner(server, gun)
    root = owner.first()
    pretty = json.dumps(json.loads(owner.next_targets()), indent=3).encode()
    server.publish(gun, {"targets.json": pretty})
    assert server.file(gun, "2.targets.json") == server.file(gun, "targets.json") == pretty
    assert server.file(gun, "1.root.json") == root
    current = json.loads(server.file(gun, "timestamp.json"))["signed"]["meta"]["snapshot.json"]
    assert server.file(gun, f"{current['version']}.snapshot.json") == server.file(gun, "snapshot.json")


def test_delegations_of_every_kind(server: Server, gun: str, tmp_path: Path) -> None:
    """Path patterns, hash prefixes, terminating roles, names with slashes, nested delegations and hash bins."""
    owner = Owner(server, gun)
    alice, bob, carol = (CryptoSigner.generate_ed25519() for _ in range(3))
    owner.targets.delegations = delegation("Alice_1.x", alice, paths=["a/*", "*.txt"])
    bobs = delegation(
        "targets/releases",
        bob,
        path_hash_prefixes=["0", "1", "2", "3", "4", "5", "6", "7", "8"],
        terminating=True,
    )
    owner.targets.delegations.keys |= bobs.keys
    assert owner.targets.delegations.roles is not None
    owner.targets.delegations.roles |= bobs.roles or {}
    alices = listing("a/1", "x.txt")
    alices.delegations = in_bins(2, "bin", carol)
    bins = {f"bin-{number}": listing(*[f"a/in-bins-{n}" for n in range(20)]) for number in range(4)}
    files = {
        "Alice_1.x": signed(alices, [alice]),
        "targets/releases": signed(listing("r1", "r2", "r3"), [bob]),
        **{name: signed(body, [carol]) for name, body in bins.items()},
    }
    with pytest.raises(Refused, match="Alice_1"):
        owner.first()
    root = owner.signed_root()
    server.publish(gun, {"root": root, "targets": owner.signed_targets(), **files})
    updater = server.updater(gun, tmp_path / "client", root)
    for path in ("a/1", "x.txt", "a/in-bins-3", "a/in-bins-11"):
        assert digest(updater, path) is not None
    assert digest(updater, "b/x.txt") is None
    assert [digest(updater, path) is not None for path in ("r1", "r2", "r3")].count(True) >= 1

    server.publish(gun, {"bin-2": signed(listing("a/in-bins-1", version=2), [carol])})
    snapshot = json.loads(server.file(gun, "snapshot.json"))["signed"]["meta"]
    assert snapshot["bin-2.json"]["version"] == 2
    assert {"root.json", "timestamp.json", "snapshot.json"}.isdisjoint(snapshot)


def test_delegations_may_form_any_graph(server: Server, gun: str, tmp_path: Path) -> None:
    """Two who delegate to each other, and one whom two delegate to, each with a key of its own; the client's order counts."""
    owner = Owner(server, gun)
    keys = {name: CryptoSigner.generate_ed25519() for name in "ABC"}
    owner.targets.delegations = delegation("A", keys["A"], paths=["*"])
    second = delegation("B", keys["B"], paths=["*"], terminating=True)
    assert owner.targets.delegations.roles is not None
    owner.targets.delegations.keys |= second.keys
    owner.targets.delegations.roles |= second.roles or {}
    bodies = {"A": listing("a", "both"), "B": listing("b", "both"), "C": listing("c")}
    bodies["B"].targets["both"].length += 1
    bodies["A"].delegations = delegation("C", keys["C"], paths=["c"])
    bodies["B"].delegations = delegation("A", keys["A"], paths=["*"])
    bodies["C"].delegations = delegation("B", keys["B"], paths=["*"])
    files = {name: signed(body, [keys[name]]) for name, body in bodies.items()}
    root = owner.signed_root()
    server.publish(gun, {"root": root, "targets": owner.signed_targets(), **files})
    updater = server.updater(gun, tmp_path / "client", root)
    updater.refresh()
    for path in "abc":
        assert digest(updater, path) is not None
    both = updater.get_targetinfo("both")
    assert both is not None
    assert both.length == len("both")
    # C, whom only A knows, changes its key: A must say so in the same upload.
    new = CryptoSigner.generate_ed25519()
    bodies["C"].version = 2
    with pytest.raises(Refused, match="the C file is not valid"):
        server.publish(gun, {"C": signed(bodies["C"], [new])})
    bodies["A"].version = 2
    bodies["A"].delegations = delegation("C", new, paths=["c"])
    server.publish(gun, {"A": signed(bodies["A"], [keys["A"]]), "C": signed(bodies["C"], [new])})
    assert digest(server.updater(gun, tmp_path / "client", root), "c") is not None


def test_a_removed_delegation_stays_listed(server: Server, gun: str, tmp_path: Path) -> None:
    """A client of an earlier snapshot refuses one that lacks a file, so nothing is ever left out."""
    owner = Owner(server, gun)
    alice = CryptoSigner.generate_ed25519()
    owner.targets.delegations = delegation("alice", alice, paths=["*"])
    root = owner.signed_root()
    server.publish(
        gun, {"root": root, "targets": owner.signed_targets(), "alice": signed(listing("x"), [alice])}
    )
    assert digest(server.updater(gun, tmp_path / "client", root), "x") is not None
    owner.targets.delegations = None
    server.publish(gun, {"targets": owner.next_targets()})
    assert digest(server.updater(gun, tmp_path / "client", root), "x") is None
    with pytest.raises(Refused, match="no targets file delegates to alice"):
        server.publish(gun, {"alice": signed(listing("x", version=2), [alice])})


def test_what_the_server_signs_is_renewed_and_the_rest_expires(
    timed: Timed, gun: str, tmp_path: Path
) -> None:
    """A fortnight later the timestamp is a new one, three years later the snapshot too; root and targets are their owner's."""
    owner = Owner(timed.server, gun)
    owner.targets.expires = days(2000)
    owner.root.expires = days(2000)
    owner.first()
    before = json.loads(timed.server.file(gun, "timestamp.json"))["signed"]
    timed.clock.forward(15)
    after = json.loads(timed.server.file(gun, "timestamp.json"))["signed"]
    assert (after["version"], after["meta"]) == (before["version"] + 1, before["meta"])
    timed.clock.forward(1100)
    last = json.loads(timed.server.file(gun, "timestamp.json"))["signed"]
    assert last["meta"]["snapshot.json"]["version"] == 2
    snapshot = json.loads(timed.server.file(gun, "2.snapshot.json"))["signed"]
    assert snapshot["meta"]["targets.json"]["version"] == 1
    owner.add("a", b"later")
    timed.server.publish(gun, {"targets": owner.next_targets()})
    owner.targets.expires = days(1000)
    with pytest.raises(Refused, match="expired"):
        timed.server.publish(gun, {"targets": owner.next_targets()})


def test_a_client_of_an_expired_root_says_so(server: Server, gun: str, tmp_path: Path) -> None:
    """Freeze: the client refuses what has expired, and takes the repository again after a new root."""
    owner = Owner(server, gun)
    root = owner.first()
    updater = server.updater(gun, tmp_path / "client", root)
    updater._trusted_set.reference_time = days(400)
    with pytest.raises(RepositoryError, match="expired"):
        updater.refresh()
    owner.root.version = 2
    owner.root.expires = days(800)
    server.publish(gun, {"root": owner.signed_root()})
    updater = server.updater(gun, tmp_path / "again", root)
    updater.refresh()


def test_target_files_are_fetched_from_where_they_are(
    server: Server, gun: str, tmp_path: Path, targets_base_urls: dict[str, str]
) -> None:
    """The server redirects a client to the address that is configured for the repository, and keeps nothing itself."""
    content = tmp_path / "content"
    (content / "dir").mkdir(parents=True)
    (content / "dir" / "a b.txt").write_bytes(b"content")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(content))
    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    try:
        owner = Owner(server, gun)
        owner.add("dir/a b.txt", b"content")
        root = owner.first()
        with pytest.raises(Refused) as unknown:
            server.ask("GET", f"/v2/{gun}/_trust/targets/dir/a%20b.txt")
        assert unknown.value.status == 404
        targets_base_urls["example.com/"] = "http://wrong.invalid/"
        targets_base_urls[gun] = f"http://127.0.0.1:{elsewhere.server_address[1]}/"
        updater = server.updater(gun, tmp_path / "client", root)
        info = updater.get_targetinfo("dir/a b.txt")
        assert info is not None
        assert Path(updater.download_target(info)).read_bytes() == b"content"
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()


def test_changes_and_deletion_are_those_of_any_repository(server: Server, gun: str) -> None:
    """The changefeed tells of each publish, and a deletion makes room for either dialect."""
    owner = Owner(server, gun)
    owner.first()
    owner.add("a", b"")
    server.publish(gun, {"targets": owner.next_targets()})
    server.ask("DELETE", f"/v2/{gun}/_trust/tuf/")
    records = json.loads(server.ask("GET", f"/v2/{gun}/_trust/changefeed?records=10"))["records"]
    assert [(record["Category"], record["Version"]) for record in records] == [
        ("update", 1),
        ("update", 2),
        ("deletion", 0),
    ]
    with pytest.raises(Refused):
        server.file(gun, "timestamp.json")
    Owner(server, gun).first()
