"""`notary-server tokens`: keys, robots, and whether the service could start."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from notary_server.cli import main
from notary_server.tokens.keys import new_key, store_key


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration behind a proxy, with an access file and one user."""
    (tmp_path / "access.json").write_text("{}")
    (tmp_path / "users").write_text("alice:$2y$05$" + "." * 53 + "\n")
    document = {
        "server": {"http_addr": "127.0.0.1:0", "tls_source": "terminated"},
        "tokens": {"issuer": "tokens.example.org", "service": "registry.example.org", "key_dir": "keys"},
        "people": {"access_file": "access.json", "users_file": "users", "robots_file": "robots.json"},
    }
    path = tmp_path / "tokens-config.json"
    path.write_text(json.dumps(document))
    return path


def _run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["tokens", *arguments, "--config", str(config)])


def _good(config: Path, *arguments: str) -> str:
    done = _run(config, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def _refused(config: Path, *arguments: str) -> str:
    done = _run(config, *arguments)
    assert done.exit_code == 1, done.output
    return done.stderr


def _keys(config: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_good(config, "key", "list", "--json"))
    return found


def test_the_first_key_signs_at_once_and_the_next_one_a_day_later(config: Path) -> None:
    """The certificates of both are in one file, which the commands name."""
    assert "certificates.pem as rootcertbundle" in _good(config, "key", "create")
    (first,) = _keys(config)
    assert first["signs"]
    _good(config, "key", "create")
    second, again = _keys(config)
    assert again == first
    assert not second["signs"]
    assert second["starts"][:10] != first["starts"][:10]
    _good(config, "key", "create", "--starts-in", "0")
    assert len({key["starts"] for key in _keys(config)}) == 3
    bundle = (config.parent / "keys" / "certificates.pem").read_text()
    assert bundle.count("BEGIN CERTIFICATE") == 3
    assert f"{first['name']}  " in _good(config, "key", "list")


def test_a_key_is_removed_unless_it_signs(config: Path) -> None:
    """Its certificate leaves the file too."""
    folder = config.parent / "keys"
    folder.mkdir()
    store_key(folder, new_key("tokens.example.org", datetime.now(UTC) - timedelta(days=1)))
    (first,) = _keys(config)
    assert "signs now; make another first" in _refused(config, "key", "remove", first["name"])
    _good(config, "key", "create", "--starts-in", "0")
    _good(config, "key", "remove", first["name"])
    assert len(_keys(config)) == 1
    assert (folder / "certificates.pem").read_text().count("BEGIN CERTIFICATE") == 1
    assert "holds no key AAAA; see" in _refused(config, "key", "remove", "AAAA")


def test_there_are_no_keys_yet(config: Path) -> None:
    """What to do about it is said."""
    assert "tokens key create" in _refused(config, "key", "list")
    assert "tokens key create" in _refused(config, "serve", "--check-config")


def test_a_robots_secret_is_shown_once(config: Path) -> None:
    """Alone on standard output; the file does not hold it."""
    secret = _good(
        config,
        "robot",
        "create",
        "ci",
        "--gun-prefix",
        "r.example.org/a/",
        "--action",
        "pull",
        "--expires-in",
        "2",
    )
    assert secret.startswith("ntr_")
    assert len(secret.split()) == 1
    assert secret.strip() not in (config.parent / "robots.json").read_text()
    shown = _good(config, "robot", "list")
    assert "ci  pull  r.example.org/a/  expires " in shown
    (row,) = json.loads(_good(config, "robot", "list", "--json"))
    assert set(row) == {"name", "repositories", "actions", "created", "expires"}


def test_robots_come_and_go(config: Path) -> None:
    """One name is one robot."""
    for name in ("one", "two"):
        _good(config, "robot", "create", name, "--gun-prefix", "*", "--action", "pull")
    assert "exists; revoke it first" in _refused(
        config, "robot", "create", "one", "--gun-prefix", "*", "--action", "pull"
    )
    _good(config, "robot", "revoke", "one")
    assert [row["name"] for row in json.loads(_good(config, "robot", "list", "--json"))] == ["two"]
    assert "there is no robot one" in _refused(config, "robot", "revoke", "one")


@pytest.mark.parametrize(
    ("name", "prefix", "said"),
    [
        ("C I", "a/", "NAME: write up to 63"),
        ("oidc", "a/", "NAME: oidc stands for identity tokens"),
        ("ci", "a//", "--gun-prefix a//: the repository name holds an empty"),
    ],
)
def test_what_is_no_robot(config: Path, name: str, prefix: str, said: str) -> None:
    """Nothing is written."""
    assert said in _refused(config, "robot", "create", name, "--gun-prefix", prefix, "--action", "pull")
    assert not (config.parent / "robots.json").exists()


def test_without_a_file_there_are_no_robots(config: Path) -> None:
    """Its key is named."""
    document = json.loads(config.read_text())
    del document["people"]["robots_file"]
    config.write_text(json.dumps(document))
    assert "people.robots_file: is missing" in _refused(config, "robot", "list")


def test_check_config_names_all_that_is_wrong(config: Path) -> None:
    """In the configuration and in the files that it names."""
    _good(config, "key", "create")
    assert _good(config, "serve", "--check-config") == "configuration is good\n"
    (config.parent / "users").write_text("alice:secret\n")
    (config.parent / "access.json").write_text('{"users": 1}')
    (config.parent / "robots.json").write_text("{")
    said = _refused(config, "serve", "--check-config")
    assert "3 problems" in said
    for part in ("holds no bcrypt hash", "users: is no list", "no file of robots"):
        assert part in said


def test_check_config_warns_of_what_is_probably_not_meant(config: Path) -> None:
    """The service starts all the same."""
    _good(config, "key", "create", "--starts-in", "1")
    rule = {"names": ["alcie", "*"], "repositories": ["*"], "actions": ["pull"]}
    (config.parent / "access.json").write_text(json.dumps({"users": [rule]}))
    _good(config, "robot", "create", "alice", "--gun-prefix", "*", "--action", "pull")
    done = _run(config, "serve", "--check-config")
    assert done.exit_code == 0
    for part in ("the user alcie does not exist", "alice is the name of a user too", "no key may sign now"):
        assert part in done.stderr


def test_no_command_shows_a_secret_of_the_files(config: Path) -> None:
    """Whatever is wrong with them."""
    _good(config, "key", "create")
    (key,) = (config.parent / "keys").glob("*.key")
    key.write_text(key.read_text().replace("MIGH", "MIGX"))
    (config.parent / "users").write_text("alice:hunter2\n")
    said = _refused(config, "serve", "--check-config")
    assert "hunter2" not in said
    assert "MIG" not in said
