"""`notary-server repo` at the prompt: what an operator sees of the store."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notary_common.database import open_database, parse_url
from notary_server.cli import main
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import Gun, RoleName, Sha256Hex
from tests.publisher import Publisher, ecdsa_key, entry

GUN = Gun("registry.example.org/team/app")


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="notary-server")


def _write(folder: Path, storage: dict[str, str] | None = None) -> str:
    """A configuration of which only the storage section matters here."""
    path = folder / "server.json"
    path.write_text(json.dumps({"storage": storage or {"backend": "sqlite3", "db_url": "server.db"}}))
    return str(path)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[str, Publisher]:
    """A configuration over a database with one repository that has a delegation and an odd tag."""
    config = _write(tmp_path)
    assert _run("db", "upgrade", "--config", config).exit_code == 0
    owner = Publisher(GUN, snapshot=ecdsa_key())
    owner.server_keys["timestamp"] = ecdsa_key().object
    releases = "targets/releases"
    files = {
        "root": owner.root(),
        "targets": owner.targets(
            3, targets={"v1": entry(b"one"), "v2\u202e": entry(b"two")}, delegates=[releases]
        ),
        releases: owner.delegation(releases, 2, targets={"latest": entry(b"three")}),
    }
    files["snapshot"] = owner.snapshot(files, 4)
    files["timestamp"] = b"not metadata"

    async def fill() -> None:
        store = SqlStore(open_database(parse_url("sqlite3", "server.db", tmp_path)))
        rows = [
            NewFile(
                RoleName(role),
                {"targets": 3, releases: 2, "snapshot": 4}.get(role, 1),
                data,
                Sha256Hex(hashlib.sha256(data).hexdigest()),
            )
            for role, data in files.items()
        ]
        await store.commit(await store.trust_state(GUN, ()), rows)
        await store.close()

    asyncio.run(fill())
    return config, owner


def test_repositories_are_listed(stored: tuple[str, Publisher]) -> None:
    """`repo list` shows names, versions and sizes, for people and as JSON; --prefix narrows it."""
    config, _ = stored
    text = _run("repo", "list", "--config", config).output
    row = next(line for line in text.splitlines() if line.startswith(GUN)).split()
    assert row[:7] == [GUN, "1", "3", "4", "1", "1", "5"]
    (one,) = json.loads(_run("repo", "list", "--json", "--prefix", "registry.", "--config", config).output)
    assert one["gun"] == GUN
    assert one["versions"] == {"root": 1, "targets": 3, "snapshot": 4, "timestamp": 1, "targets/releases": 2}
    assert one["files"] == 5
    assert json.loads(_run("repo", "list", "--json", "--prefix", "other", "--config", config).output) == []
    assert (
        _run("repo", "list", "--prefix", "other", "--config", config).output == "no repositories are stored\n"
    )


def test_a_repository_is_shown_for_people(stored: tuple[str, Publisher]) -> None:
    """`repo show` prints roles, expiries, signers, delegations and tags; nothing in a name steers the terminal."""
    config, owner = stored
    result = _run("repo", "show", GUN, "--config", config)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    targets_key = owner.targets_keys[0].id[:12]
    delegation_key = owner.delegation_keys["targets/releases"][0].id[:12]
    role = next(line for line in lines if line[:2] == ["targets", "3"])
    assert role[-1] == targets_key
    assert role[3].endswith("Z")
    assert ["targets/releases", "1", delegation_key, "(ecdsa)", '[""]'] in lines
    assert ["targets", "1", targets_key, "(ecdsa)"] in lines
    assert ["latest", "targets/releases", "5", hashlib.sha256(b"three").hexdigest()[:12]] in lines
    assert "\u202e" not in result.output


def test_a_repository_is_shown_as_json_with_whole_ids(stored: tuple[str, Publisher]) -> None:
    """--json gives whole key IDs and digests; a stored file that cannot be read is reported, not fatal."""
    config, owner = stored
    report = json.loads(_run("repo", "show", GUN, "--json", "--config", config).output)
    roles = {entry["role"]: entry for entry in report["roles"]}
    assert list(roles) == ["root", "targets", "snapshot", "timestamp", "targets/releases"]
    assert roles["targets"]["signed_by"] == [owner.targets_keys[0].id]
    assert roles["root"]["expires"].endswith("Z")
    assert roles["timestamp"]["problem"]
    assert report["delegations"][0]["keys"][0]["id"] == owner.delegation_keys["targets/releases"][0].id
    assert [(tag["tag"], tag["role"]) for tag in report["tags"]] == [
        ("latest", "targets/releases"),
        ("v1", "targets"),
        ("v2\u202e", "targets"),
    ]
    assert report["tags"][1]["sha256"] == hashlib.sha256(b"one").hexdigest()


def test_an_unknown_repository_is_said_with_what_to_do(stored: tuple[str, Publisher]) -> None:
    """`repo show` of nothing ends with status 1 and points to `repo list`."""
    config, _ = stored
    result = _run("repo", "show", "no/such", "--config", config)
    assert result.exit_code == 1
    assert "repo list" in result.output


@pytest.mark.parametrize("storage", [{"backend": "memory"}, {"backend": "sqlite3", "db_url": ":memory:"}])
def test_a_database_in_memory_cannot_be_looked_into(tmp_path: Path, storage: dict[str, str]) -> None:
    """`repo` commands say why instead of showing an empty list."""
    result = _run("repo", "list", "--config", _write(tmp_path, storage))
    assert result.exit_code == 1
    assert "only be seen by the server itself" in result.output
