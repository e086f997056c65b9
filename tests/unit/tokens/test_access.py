"""The access file, and the configuration of the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notary_server.tokens.access import Access, load_access
from notary_server.tokens.config import inspect
from notary_server.tokens.files import FileProblem
from notary_server.tokens.grants import Permission

RULE = {"repositories": ["r.example.org/team/"], "actions": ["pull"]}
GITHUB = {
    "name": "github",
    "issuer": "https://token.example.org",
    "audience": "registry.example.org",
    "jwks_url": "https://token.example.org/jwks",
}
WORKLOAD = {"issuer": "github", "claims": {"repository": "org/app"}, **RULE}


def _load(tmp_path: Path, document: object) -> Access:
    path = tmp_path / "access.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return load_access(path)


def _problems(tmp_path: Path, document: object) -> list[str]:
    with pytest.raises(FileProblem) as caught:
        _load(tmp_path, document)
    return [problem.removeprefix(f"{tmp_path}/access.json: ") for problem in caught.value.problems]


def test_rules_of_a_user_add_up(tmp_path: Path) -> None:
    """Those with the user's name, and those for everybody."""
    access = _load(
        tmp_path,
        {
            "users": [
                {"names": ["alice", "bob"], **RULE},
                {"names": ["*"], "repositories": ["*"], "actions": ["pull"]},
                {"names": ["alice"], "actions": ["catalog"]},
            ],
            "anonymous": [RULE],
        },
    )
    team = Permission(("r.example.org/team/",), frozenset({"pull"}))
    everything = Permission(("*",), frozenset({"pull"}))
    assert access.of_user("alice") == (team, everything, Permission((), frozenset({"catalog"})))
    assert access.of_user("bob") == (team, everything)
    assert access.of_user("carol") == (everything,)
    assert access.anonymous == (team,)


def test_workloads_and_their_issuers(tmp_path: Path) -> None:
    """Claims keep their case, and one may have several values."""
    rule = {**WORKLOAD, "claims": {"runnerEnvironment": ["a", "b"], "sub": "x"}}
    access = _load(tmp_path, {"issuers": [GITHUB], "workloads": [rule]})
    assert [issuer.name for issuer in access.issuers] == ["github"]
    assert access.workloads[0].claims == {"runnerEnvironment": ("a", "b"), "sub": ("x",)}


def test_an_empty_file_lets_nobody_do_anything(tmp_path: Path) -> None:
    """It is a good one."""
    assert _load(tmp_path, {}) == Access((), (), (), ())


def test_it_may_be_yaml(tmp_path: Path) -> None:
    """By its extension, as every configuration."""
    path = tmp_path / "access.yaml"
    path.write_text("users:\n  - names: [alice]\n    repositories: [r.example.org/a]\n    actions: [pull]\n")
    assert load_access(path).of_user("alice")
    path.write_text("users:\n  - names: [alice]\n    names: [bob]\n    actions: [catalog]\n")
    with pytest.raises(FileProblem, match=r"users.0.names: is given twice"):
        load_access(path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "is not JSON"),
        ({"people": []}, "people: is not a known key"),
        ({"users": {}}, "users: is no list"),
        ({"users": [1]}, "users.0: is no object"),
        ({"users": [RULE]}, "users.0.names: is missing"),
        ({"users": [{**RULE, "names": []}]}, "users.0.names: is an empty list"),
        ({"users": [{**RULE, "names": [1]}]}, "users.0.names: is a number"),
        ({"users": [{**RULE, "names": None}]}, "users.0.names: is null"),
        ({"users": [{"names": ["a"], "actions": ["pull"]}]}, "users.0: has no repositories"),
        (
            {"users": [{**RULE, "names": ["a"], "actions": ["*"]}]},
            'users.0.actions: is "*"; write one of pull',
        ),
        ({"users": [{**RULE, "names": ["a"], "repositories": ["a//"]}]}, 'users.0.repositories: holds "a//"'),
        ({"users": [{**RULE, "names": ["a"], "rope": 1}]}, "users.0.rope: is not a known key"),
        ({"anonymous": [{**RULE, "actions": ["pull", "push"]}]}, "anonymous.0: allows more than pull"),
        ({"workloads": [WORKLOAD]}, 'workloads.0.issuer: is "github", and no issuer has that name'),
        ({"issuers": [GITHUB, GITHUB]}, "issuers: gives a name twice"),
        ({"issuers": [GITHUB, {**GITHUB, "name": "x"}]}, "issuers: gives an issuer twice"),
        ({"issuers": [{**GITHUB, "jwks_url": "http://x"}]}, 'issuers.0.jwks_url: is "http://x"'),
        ({"issuers": [{**GITHUB, "jwks_url": None}]}, "issuers.0: needs its keys from one place"),
        ({"issuers": [{**GITHUB, "jwks_file": "no.json"}]}, "issuers.0.jwks_file: the file"),
        (
            {"issuers": [{k: v for k, v in GITHUB.items() if k != "jwks_url"}]},
            "issuers.0: needs its keys from one place",
        ),
        ({"issuers": [GITHUB], "workloads": [{**WORKLOAD, "claims": {}}]}, "workloads.0.claims: is an empty"),
        (
            {"issuers": [GITHUB], "workloads": [{**WORKLOAD, "claims": {"a": 1}}]},
            "workloads.0.claims: is a num",
        ),
        (
            {"issuers": [GITHUB], "workloads": [{"issuer": "github", **RULE}]},
            "workloads.0.claims: is missing",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, document: object, said: str) -> None:
    """And what to do about it."""
    problems = _problems(tmp_path, document)
    assert any(problem.startswith(said) for problem in problems), problems


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    """Not one after the other."""
    document = {
        "users": [{"names": ["a"], "repositories": ["/"], "actions": ["pul"]}],
        "anonymous": [{**RULE, "actions": []}],
        "bogus": 1,
    }
    assert len(_problems(tmp_path, document)) == 4


def _config(tmp_path: Path, **changes: dict[str, Any]) -> list[str]:
    (tmp_path / "access.json").write_text("{}")
    document: dict[str, dict[str, Any]] = {
        "server": {"http_addr": ":5001", "tls_source": "terminated"},
        "tokens": {"issuer": "i", "service": "s", "key_dir": "keys"},
        "people": {"access_file": "access.json"},
    }
    for section, values in changes.items():
        document.setdefault(section, {}).update(values)
    path = tmp_path / "tokens-config.json"
    path.write_text(json.dumps(document))
    return [str(problem) for problem in inspect(path, {}).problems]


def test_a_small_configuration_is_enough(tmp_path: Path) -> None:
    """The rest has defaults."""
    assert _config(tmp_path) == []


def test_passwords_never_travel_in_the_clear(tmp_path: Path) -> None:
    """Without TLS the service does not start, unless it is told that a proxy speaks TLS."""
    (problem,) = _config(tmp_path, server={"tls_source": "files"})
    assert problem.startswith("server.tls_cert_file: is missing, and passwords would travel in the clear")
    (tmp_path / "tls.pem").touch()
    pair = {"tls_cert_file": "tls.pem", "tls_key_file": "tls.pem"}
    assert _config(tmp_path, server={**pair, "tls_source": "files"}) == []
    (problem,) = _config(tmp_path, server=pair)
    assert problem.startswith("server.tls_cert_file: stands beside server.tls_source terminated")


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    """In an empty file."""
    path = tmp_path / "tokens-config.json"
    path.write_text("{}")
    keys = {problem.key for problem in inspect(path, {}).problems}
    assert keys >= {
        "server.http_addr",
        "tokens.issuer",
        "tokens.service",
        "tokens.key_dir",
        "people.access_file",
    }


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("tokens", {"lifetime": 7200}, "tokens.lifetime: is 7200; write a whole number from 60 to 3600"),
        ("tokens", {"service": 'a"b'}, 'tokens.service: is "a"b"; write at most 128'),
        ("tokens", {"registry": "https://x/"}, 'tokens.registry: is "https://x/"; write host or host:port'),
        ("tokens", {"key_dir": "no/keys"}, "tokens.key_dir: the folder"),
        ("people", {"users_file": "no"}, "people.users_file: the file"),
        ("limits", {"failures_per_user": 0}, "limits.failures_per_user: is 0"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, section: str, values: dict[str, Any], said: str) -> None:
    """With what may be written."""
    (problem,) = _config(tmp_path, **{section: values})
    assert problem.startswith(said)
