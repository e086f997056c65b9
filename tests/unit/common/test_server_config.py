"""The server's configuration file: what is taken, what is refused, and that all refusals come at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator

from notary_common.config import ConfigError, Document, read
from notary_common.values import Listen, one_of
from notary_server.config import ServerConfig, load

LOCAL: dict[str, Any] = {
    "server": {"http_addr": ":4443"},
    "trust_service": {"type": "local"},
    "storage": {"backend": "memory"},
}
REMOTE: dict[str, Any] = {
    "server": {
        "http_addr": "0.0.0.0:4443",
        "tls_cert_file": "./server.pem",
        "tls_key_file": "server-key.pem",
    },
    "trust_service": {
        "type": "remote",
        "hostname": "notarysigner",
        "port": "7899",
        "tls_ca_file": "ca.pem",
        "key_algorithm": "ecdsa",
        "tls_client_cert": "server.pem",
        "tls_client_key": "server-key.pem",
    },
    "logging": {"level": "debug"},
    "storage": {
        "backend": "postgres",
        "db_url": "postgres://server:hunter2@db:5432/notaryserver?sslmode=disable",
    },
}


def _set(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of `document` with the dotted `key` set."""
    changed = copy.deepcopy(document)
    *path, last = key.split(".")
    place = changed
    for part in path:
        place = place.setdefault(part, {})
    place[last] = value
    return changed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that REMOTE names."""
    for name in ("server.pem", "server-key.pem", "ca.pem"):
        (tmp_path / name).write_text("PEM")
    return tmp_path


def _read(
    folder: Path, document: object, environ: dict[str, str] | None = None, name: str = "c.json"
) -> ServerConfig:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return load(path, environ or {})


def _problems(
    folder: Path, document: object, environ: dict[str, str] | None = None, name: str = "c.json"
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _read(folder, document, environ, name)
    return caught.value.problems


def test_signers_are_a_first_one_and_further_ones_or_further_ones_alone(folder: Path) -> None:
    """Each counts once; a list without a first one is whole, one with half of it is not."""
    more = _set(REMOTE, "trust_service.signers", ["b:2", "notarysigner:7899", "unix:///s"])
    first, second, third = Listen("notarysigner", 7899), Listen("b", 2), Listen("", 0, Path("/s"))
    assert _read(folder, REMOTE).trust_service.endpoints == (first,)
    assert _read(folder, more).trust_service.endpoints == (first, second, third)
    half = _set(more, "trust_service.port", None)
    assert [problem.partition(":")[0] for problem in _problems(folder, half)] == ["trust_service.port"]
    alone = _set(half, "trust_service.hostname", None)
    assert _read(folder, alone).trust_service.endpoints == (second, first, third)
    socket = _set(alone, "trust_service.socket", "run/s")
    assert _read(folder, socket).trust_service.endpoints[0] == Listen("", 0, folder / "run/s")


def test_notarys_own_file_is_taken_as_it_stands(folder: Path) -> None:
    """Notary's keys mean what they meant, and paths start at the file."""
    config = _read(folder, REMOTE)
    assert config.server.address == Listen("0.0.0.0", 4443)
    assert config.server.tls_cert_file == folder / "server.pem"
    assert config.trust_service.port == 7899
    assert config.trust_service.tls_ca_file == folder / "ca.pem"
    assert config.logging.level == "debug"
    assert config.storage.db_url is not None
    assert config.storage.db_url.get_secret_value() == REMOTE["storage"]["db_url"]
    assert config.base_dir == folder


def test_defaults_are_notarys(folder: Path) -> None:
    """What is not written is as Notary had it."""
    config = _read(folder, LOCAL)
    assert config.caching.max_age.current_metadata == 300
    assert config.caching.max_age.consistent_metadata == 2592000
    assert config.logging.level == "error"
    assert config.repositories.gun_prefixes == ()
    assert config.auth.type is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "c.yaml",
            "server: {http_addr: ':4443'}\ntrust_service:\n  type: local\nstorage:\n  backend: memory\n",
        ),
        (
            "c.yml",
            "---\nSERVER:\n  HTTP_Addr: ':4443'\ntrust_service: {type: local}\nstorage: {backend: memory}\n",
        ),
        (
            "c.toml",
            '[server]\nhttp_addr=":4443"\n[trust_service]\ntype="local"\n[storage]\nbackend="memory"\n',
        ),
        ("c.json", json.dumps(LOCAL)),
        ("c.conf", json.dumps(LOCAL).replace("server", "Server").replace("http_addr", "HTTP_ADDR")),
        ("c.json", "\ufeff" + json.dumps(LOCAL)),
    ],
)
def test_the_extension_says_the_format_and_keys_come_in_any_case(folder: Path, name: str, text: str) -> None:
    """JSON, YAML and TOML give the same configuration."""
    assert _read(folder, text, name=name) == _read(folder, LOCAL)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("trust_service.port", 7899, 7899),
        ("trust_service.port", "7899", 7899),
        ("caching.max_age.current_metadata", 0, 0),
        ("caching.max_age.current_metadata", "31536000", 31536000),
        ("caching.max_age.consistent_metadata", 300.0, 300),
        (
            "repositories.gun_prefixes",
            ["a/", "a/b/", "registry.example.org:5000/"],
            ("a/", "a/b/", "registry.example.org:5000/"),
        ),
        ("repositories.gun_prefixes", "a/ b/", ("a/", "b/")),
        ("repositories.gun_prefixes", [], ()),
        ("repositories.gun_prefixes", None, ()),
        ("logging.level", "WARN", "warn"),
        ("logging.level", "", "error"),
        ("auth.type", "", None),
        ("auth.type", None, None),
        ("auth.options.autoredirect", "true", True),
        ("server.http_addr", "[::1]:0", Listen("::1", 0)),
        ("server.http_addr", ":4443", Listen("", 4443)),
        ("limits.request_timeout", "2.5", 2.5),
        ("limits.max_upload_bytes", 1024, 1024),
        ("trust_service.hostname", "[::1]", "::1"),
        ("trust_service.hostname", "fe80::1%eth0", "fe80::1%eth0"),
        ("trust_service.signers", ["a:1", "unix:///run/s"], (Listen("a", 1), Listen("", 0, Path("/run/s")))),
        ("trust_service.signers", "a:1 [::1]:2", (Listen("a", 1), Listen("::1", 2))),
        ("trust_service.signers", "", ()),
        ("trust_service.key_grace", 0, 0),
        ("reporting.bugsnag.release_stage", "test", "test"),
    ],
)
def test_values_are_taken_the_way_notary_took_them(folder: Path, key: str, value: Any, expected: Any) -> None:
    """Numbers come as numbers or digits, lists as lists or words, null and "" as not set."""
    document = _set(LOCAL, key, value)
    if key.startswith("auth.options"):
        document["auth"]["type"] = ""
    if key.startswith("reporting"):
        document["reporting"]["bugsnag"]["api_key"] = "k"
    found: Any = _read(folder, document)
    for part in key.split("."):
        found = getattr(found, part)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("server.http_addr", "4443", "host:port"),
        ("server.http_addr", 4443, "a string"),
        ("server.http_addr", ":70000", "host:port"),
        ("server.http_addr", "::1:4443", "host:port"),
        ("server.http_addr", "unix:///run/x", "host:port"),
        ("server.http_addr", None, "say where to listen"),
        ("server.tls_cert_file", "missing.pem", "does not exist"),
        ("server.tls_cert_file", ".", "not a regular file"),
        ("server.client_ca_file", 7, "a string"),
        ("trust_service.type", "Remote", "remote, local"),
        ("trust_service.type", None, "remote or local"),
        ("trust_service.hostname", None, "trust_service.socket"),
        ("trust_service.port", None, "trust_service.socket"),
        ("trust_service.port", 0, "1 to 65535"),
        ("trust_service.port", "http", "a whole number"),
        ("trust_service.port", True, "a whole number"),
        ("trust_service.key_algorithm", "dsa", "ecdsa, ed25519, rsa"),
        ("trust_service.key_algorithm", "", "ecdsa, ed25519 or rsa"),
        ("trust_service.timeout", 0, "0.1 to 300"),
        ("trust_service.signers", 7, "a list of strings"),
        ("trust_service.signers", [7], "a list of strings"),
        ("trust_service.signers", [], "1 to 16"),
        ("trust_service.signers", [f"a:{port}" for port in range(1, 18)], "1 to 16"),
        ("trust_service.signers", ["signer"], "host:port"),
        ("trust_service.signers", [":7899"], "host:port"),
        ("trust_service.signers", ["signer:0"], "host:port"),
        ("trust_service.signers", ["https://signer:7899"], "host:port"),
        ("trust_service.signers", ["a:1", "b:1", "a:1"], "twice"),
        ("trust_service.key_grace", -1, "0 to 31536000"),
        ("storage.backend", "rethinkdb", "set up postgres or mysql"),
        ("storage.backend", "Memory", "sqlite3, postgres, mysql, memory"),
        ("storage.backend", None, "sqlite3, postgres, mysql or memory"),
        ("storage.db_url", None, "where the database is"),
        ("storage.db_url", 5, "a string"),
        ("storage.pool_size", 0, "1 to 500"),
        ("storage.pool_timeout", 10**400, "0.1 to 300"),
        ("trust_service.hostname", "https://signer", "an address alone"),
        ("trust_service.hostname", "signer:7899", "an address alone"),
        ("trust_service.hostname", "the signer", "an address alone"),
        ("auth.type", "none", "not known"),
        ("auth.type", "Token", "not known"),
        ("caching.max_age.current_metadata", -1, "0 to 31536000"),
        ("caching.max_age.current_metadata", 31536001, "0 to 31536000"),
        ("caching.max_age.current_metadata", 300.5, "a whole number"),
        ("caching.max_age.current_metadata", " 5", "a whole number"),
        ("caching.max_age.consistent_metadata", float("nan"), "a whole number"),
        ("repositories.gun_prefixes", ["a"], "one slash at its end"),
        ("repositories.gun_prefixes", ["a", "b/", "/c/"], '"a", "/c/" are no prefixes'),
        ("repositories.gun_prefixes", ["a//"], "one slash at its end"),
        ("repositories.gun_prefixes", ["/a/"], "one slash at its end"),
        ("repositories.gun_prefixes", ["./a/"], "one slash at its end"),
        ("repositories.gun_prefixes", ["../a/"], "one slash at its end"),
        ("repositories.gun_prefixes", ["/"], "one slash at its end"),
        ("repositories.gun_prefixes", ["./"], "one slash at its end"),
        ("repositories.gun_prefixes", [""], "one slash at its end"),
        ("repositories.gun_prefixes", [1], "a list of strings"),
        ("repositories.gun_prefixes", {"a": 1}, "a list of strings"),
        ("audit.file", ".", "name a file"),
        ("audit.file", "nowhere/audit.log", "make it, writable by this user"),
        ("audit.max_bytes", 1, "65536 to"),
        ("limits.max_client_connections", -1, "0 to"),
        ("limits.client_writes", "many", "a whole number"),
        ("logging.level", "loud", "debug, info"),
        ("logging", "debug", "an object"),
        ("server", [], "an object"),
        ("server.port", 4443, "known here"),
        ("migrations", {"path": "x"}, "known here"),
        ("auth.options.relm", "x", "known here"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(folder: Path, key: str, value: Any, remedy: str) -> None:
    """Each bad value is refused with one sentence about its dotted key that says what to write."""
    problems = _problems(folder, _set(REMOTE, key, value))
    mine = [problem for problem in problems if problem.startswith(f"{key}: ")]
    assert len(mine) == 1
    assert remedy in mine[0]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"server": {"http_addr": ":1", "tls_cert_file": "server.pem"}}, "server.tls_key_file"),
        ({"server": {"http_addr": ":1", "tls_key_file": "server-key.pem"}}, "server.tls_cert_file"),
        ({"server": {"http_addr": ":1", "client_ca_file": "ca.pem"}}, "server.tls_cert_file"),
        (
            {"trust_service": {"type": "local", "tls_client_cert": "server.pem"}},
            "trust_service.tls_client_key",
        ),
        (
            {"trust_service": {"type": "local", "tls_client_key": "server.pem"}},
            "trust_service.tls_client_cert",
        ),
        (
            {"trust_service": {"type": "remote", "key_algorithm": "rsa", "socket": "s", "port": 1}},
            "trust_service.port",
        ),
        ({"reporting": {"bugsnag": {"endpoint": "https://x"}}}, "reporting.bugsnag.api_key"),
        ({"auth": {"options": {"realm": "https://x"}}}, "auth.type"),
    ],
)
def test_leaves_that_belong_together_are_asked_for_together(
    folder: Path, document: dict[str, Any], key: str
) -> None:
    """A certificate without its key, options without a type and the like are refused."""
    problems = _problems(folder, {**LOCAL, **document})
    assert [problem.split(":")[0] for problem in problems] == [key]


def test_all_problems_come_at_once(folder: Path) -> None:
    """A file with many faults is refused once, with every one of them."""
    document = {
        "server": {"http_addr": "x", "tls_cert_file": "gone.pem", "extra": 1},
        "trust_service": {"type": "remote", "port": "x"},
        "storage": {"backend": "rethinkdb"},
        "caching": {"max_age": {"current_metadata": -1}},
        "repositories": {"gun_prefixes": ["x"]},
        "auth": {"type": "basic"},
        "unknown": {},
    }
    keys = {problem.split(": ")[0] for problem in _problems(folder, document)}
    assert keys == {
        "server.http_addr",
        "server.tls_cert_file",
        "server.tls_key_file",
        "server.extra",
        "trust_service.hostname",
        "trust_service.port",
        "trust_service.key_algorithm",
        "storage.backend",
        "storage.db_url",
        "caching.max_age.current_metadata",
        "repositories.gun_prefixes",
        "auth.type",
        "unknown",
    }


def test_the_environment_wins_over_the_file(folder: Path) -> None:
    """Every leaf has a variable; an empty one counts as not set."""
    environ = {
        "NOTARY_SERVER_STORAGE_DB_URL": "postgres://x@y/z",
        "NOTARY_SERVER_TRUST_SERVICE_PORT": "7000",
        "NOTARY_SERVER_TRUST_SERVICE_KEY_ALGORITHM": "ed25519",
        "NOTARY_SERVER_CACHING_MAX_AGE_CURRENT_METADATA": "0",
        "NOTARY_SERVER_REPOSITORIES_GUN_PREFIXES": "a/ b/",
        "NOTARY_SERVER_LIMITS_REQUEST_TIMEOUT": "1.5",
        "NOTARY_SERVER_LOGGING_LEVEL": "",
        "NOTARY_SERVER_SERVICE_HOST": "10.0.0.1",
    }
    config = _read(folder, REMOTE, environ)
    assert config.storage.db_url is not None
    assert config.storage.db_url.get_secret_value() == "postgres://x@y/z"
    assert config.trust_service.port == 7000
    assert config.trust_service.key_algorithm == "ed25519"
    assert config.caching.max_age.current_metadata == 0
    assert config.repositories.gun_prefixes == ("a/", "b/")
    assert config.limits.request_timeout == 1.5
    assert config.logging.level == "debug"


def test_the_environment_is_checked_like_the_file(folder: Path) -> None:
    """A bad variable is refused under the key that it sets."""
    problems = _problems(folder, LOCAL, {"NOTARY_SERVER_CACHING_MAX_AGE_CURRENT_METADATA": "soon"})
    assert [problem.split(":")[0] for problem in problems] == ["caching.max_age.current_metadata"]


def test_a_good_variable_replaces_a_bad_value(folder: Path) -> None:
    """What the file says about a leaf does not matter where the environment sets it."""
    document = _set(LOCAL, "caching.max_age.current_metadata", [])
    environ = {"NOTARY_SERVER_CACHING_MAX_AGE_CURRENT_METADATA": "7"}
    assert _read(folder, document, environ).caching.max_age.current_metadata == 7


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.json", '{"server": {}, "Server": {}}', "given twice"),
        ("c.json", '{"server": {"http_addr": ":1", "http_addr": ":2"}}', "server.http_addr: is given twice"),
        ("c.yaml", "server: {http_addr: ':1'}\nserver: {http_addr: ':2'}\n", "given twice"),
        ("c.yaml", "a: !!python/object/apply:os.system [id]\n", "not YAML"),
        ("c.yaml", "a: [1\nb: 2", "line"),
        ("c.toml", "a = [", "not TOML"),
        ("c.json", "{", "line 1"),
        ("c.json", "[]", "no object"),
        ("c.json", '{"storage": {"pool_size": ' + "9" * 5000 + "}}", "number or date"),
        ("c.yaml", "storage: {pool_size: 2026-02-31}\n", "number or date"),
        ("c.toml", "a = " + "9" * 5000, "number or date"),
        ("c.json", "[" * 100000, "nested too deeply"),
        ("c.json", " " * 2_000_000, "longer than"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    folder: Path, name: str, text: str, says: str
) -> None:
    """Broken documents and doubled keys are named, with the place where there is one."""
    (problem,) = _problems(folder, text, name=name)
    assert says in problem


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    """A file that is not UTF-8 is refused in a sentence."""
    (folder / "c.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="UTF-8"):
        load(folder / "c.json", {})


def test_a_missing_file_is_refused_with_the_option_to_use(folder: Path) -> None:
    """The error names the file and --config."""
    with pytest.raises(ConfigError, match="--config FILE"):
        load(folder / "none.json", {})


def test_secrets_never_show() -> None:
    """Neither the configuration's repr nor a refusal repeats a password."""
    planted = "postgres://u:planted-password@h/d"
    config = ServerConfig.model_validate(
        {
            "storage": {"backend": "postgres", "db_url": planted},
            "reporting": {"bugsnag": {"api_key": "planted-key"}},
        }
    )
    shown = repr(config) + str(config) + config.model_dump_json()
    assert "planted" not in shown


def test_a_refusal_does_not_repeat_a_secret(folder: Path) -> None:
    """A misplaced or mistyped secret stays out of the error."""
    document = {
        **LOCAL,
        "storage": {"backend": "postgres", "db_url": ["planted-password"]},
        "pin": "planted-pin",
    }
    assert "planted" not in " ".join(_problems(folder, document))


def test_the_configuration_cannot_be_changed(folder: Path) -> None:
    """The tree is frozen."""
    config = _read(folder, LOCAL)
    with pytest.raises(ValueError, match="frozen"):
        config.server.http_addr = None


class _Lists(Document):
    """A document with a list whose entries are looked at one by one."""

    numbers: tuple[int, ...] = ()
    word: Annotated[str, BeforeValidator(one_of("a", "b"))] = "a"


def test_a_list_with_several_wrong_entries_is_reported_whole(tmp_path: Path) -> None:
    """All of its problems, under its own key, and those of the leaves after it."""
    path = tmp_path / "lists.json"
    path.write_text(json.dumps({"numbers": ["x", 1, "y"], "word": "c"}))
    reading = read(_Lists, path, {}, "TEST", lambda _: [])
    assert [problem.key for problem in reading.problems] == ["numbers", "numbers", "word"]
    assert (reading.draft.numbers, reading.draft.word) == ((), "a")
