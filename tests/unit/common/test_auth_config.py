"""The section `auth`: Notary's options as they stand, our additions, and everything that is wrong with either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notary_common.config import ConfigError
from notary_server.auth.token.verify import Rules
from notary_server.config import ServerConfig, load
from notary_server.token_issuers import believed, policy
from tests.support.tokens import Signer, key_set

REST = {
    "server": {"http_addr": ":0"},
    "trust_service": {"type": "local"},
    "storage": {"backend": "memory"},
}
NOTARYS = {"realm": "https://a/t", "service": "s", "issuer": "i", "rootcertbundle": "bundle.pem"}
ISSUER = {"issuer": "j", "jwks_file": "keys.json"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration's folder; the bundle is in the working directory beside it."""
    config, working = tmp_path / "config", tmp_path / "working"
    config.mkdir()
    working.mkdir()
    (working / "bundle.pem").write_bytes(Signer().pem)
    for name in ("keys.json", "ca.pem"):
        (config / name).write_bytes(key_set(Signer()))
    monkeypatch.chdir(working)
    return config


def _load(folder: Path, auth: Any, environ: dict[str, str] | None = None) -> ServerConfig:
    path = folder / "c.json"
    path.write_text(json.dumps({**REST, "auth": auth}))
    return load(path, environ or {})


def _problems(folder: Path, auth: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(folder, auth)
    return caught.value.problems


def test_notarys_own_options_are_taken_as_they_stand(folder: Path) -> None:
    """A relative bundle starts at the working directory, as it did."""
    auth = _load(folder, {"type": "token", "options": {**NOTARYS, "autoredirect": True}}).auth
    assert auth.options.rootcertbundle == str(folder.parent / "working" / "bundle.pem")
    assert policy(auth).autoredirect
    assert [one.issuer for one in believed(auth)] == ["i"]


def test_the_defaults_are_those_of_the_rules(folder: Path) -> None:
    """One place says what is safe."""
    assert policy(_load(folder, {"type": "token", "options": NOTARYS}).auth).rules == Rules()


def test_our_additions(folder: Path) -> None:
    """Issuers beside Notary's, from the file and from the environment; a star for all repositories."""
    options = {
        **NOTARYS,
        "issuers": [{"Issuer": "j", "jwks_file": "keys.json", "realm": "https://b", "service": ""}],
    }
    auth = _load(
        folder, {"type": "token", "options": options, "anonymous_pull": ["*"], "sign_prefixes": "a/ b/"}
    ).auth
    assert [one.issuer for one in believed(auth)] == ["i", "j"]
    assert auth.options.issuers[0].jwks_file == folder / "keys.json"
    assert (auth.anonymous_pull, auth.sign_prefixes) == (("",), ("a/", "b/"))
    environ = {"NOTARY_SERVER_AUTH_OPTIONS_ISSUERS": json.dumps([ISSUER])}
    auth = _load(folder, {"type": "token", "options": {"realm": "r", "service": "s"}}, environ).auth
    assert [one.issuer for one in believed(auth)] == ["j"]
    environ = {"NOTARY_SERVER_AUTH_OPTIONS_ALGORITHMS": "ES256 EdDSA"}
    auth = _load(folder, {"type": "token", "options": NOTARYS}, environ).auth
    assert policy(auth).rules.algorithms == {"ES256", "EdDSA"}


@pytest.mark.parametrize("missing", ["realm", "service", "issuer", "rootcertbundle"])
def test_each_of_notarys_options_is_required(folder: Path, missing: str) -> None:
    """A token server that lacks one does not start."""
    options = {key: value for key, value in NOTARYS.items() if key != missing}
    (problem,) = _problems(folder, {"type": "token", "options": options})
    assert problem.startswith(f"auth.options.{missing}: is missing")


def test_all_is_said_at_once(folder: Path) -> None:
    """With `auth.type` alone."""
    keys = [problem.partition(":")[0] for problem in _problems(folder, {"type": "token"})]
    assert keys == ["auth.options.realm", "auth.options.service", "auth.options.issuer"]


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"rootcertbundle": "none.pem"}, "rootcertbundle", "starts at the working directory"),
        ({"rootcertbundle": "."}, "rootcertbundle", "not a regular file"),
        ({"rootcertbundle": 1}, "rootcertbundle", "write a string"),
        ({"realm": 'https://a/"x'}, "realm", "no address has"),
        ({"jwks_file": "none.json"}, "jwks_file", "does not exist"),
        ({"jwks_url": "http://auth.example.org/keys"}, "jwks_url", "plain http"),
        ({"jwks_url": "http://127.0.0.1.example.org/keys"}, "jwks_url", "plain http"),
        ({"jwks_url": "ftp://a/keys"}, "jwks_url", "write https://"),
        ({"jwks_url": "https://u:p@a/keys"}, "jwks_url", "write https://"),
        ({"jwks_url": "https://[x/"}, "jwks_url", "write https://"),
        ({"jwks_ca_file": "ca.pem"}, "jwks_url", "is missing beside jwks_ca_file"),
        ({"algorithms": ["none"]}, "algorithms", '"none" cannot be allowed'),
        ({"algorithms": ["HS256", "ES256"]}, "algorithms", '"HS256" cannot be allowed'),
        ({"algorithms": 1}, "algorithms", "a list of strings"),
        ({"leeway": 301}, "leeway", "0 to 300"),
        ({"jwks_refresh": 1}, "jwks_refresh", "10 to 86400"),
        ({"issuers": {}}, "issuers", "a list of objects"),
        ({"issuers": "["}, "issuers", "is not JSON"),
        ({"issuers": ["x"]}, "issuers", "entry 1 is a string"),
        ({"issuers": [{"jwks_file": "keys.json"}]}, "issuers", "entry 1, issuer: Field required"),
        ({"issuers": [ISSUER, {"issuer": "k"}]}, "issuers", "entry 2 names no keys"),
        ({"issuers": [ISSUER, ISSUER]}, "issuers", "names one issuer twice"),
        ({"issuers": [{**ISSUER, "issuer": "i"}]}, "issuers", "names auth.options.issuer again"),
        ({"issuers": [{**ISSUER, "jwks_url": "http://a/k"}]}, "issuers", "entry 1, jwks_url: is plain http"),
        ({"issuers": [{**ISSUER, "jwks_ca_file": "ca.pem"}]}, "issuers", "without jwks_url"),
        ({"issuers": [{**ISSUER, "relm": "x"}]}, "issuers", "entry 1, relm"),
        ({"issuers": [ISSUER] * 21}, "issuers", "20 at most"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    folder: Path, change: dict[str, Any], key: str, said: str
) -> None:
    """One sentence about the key."""
    (problem,) = _problems(folder, {"type": "token", "options": {**NOTARYS, **change}})
    assert problem.startswith(f"auth.options.{key}: ")
    assert said in problem


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"anonymous_pull": ["public"]}, "one slash at its end"),
        ({"anonymous_pull": ["*", "a/"]}, "one slash at its end"),
        ({"sign_prefixes": 1}, "a list of strings"),
        ({"max_token_bytes": 100}, "1024 to 65536"),
        ({"max_token_access": 0}, "1 to 10000"),
    ],
)
def test_what_is_wrong_outside_the_options(folder: Path, change: dict[str, Any], said: str) -> None:
    """Likewise."""
    (problem,) = _problems(folder, {"type": "token", "options": NOTARYS, **change})
    assert problem.startswith(f"auth.{next(iter(change))}: ")
    assert said in problem


@pytest.mark.parametrize("rest", [{"options": NOTARYS}, {"anonymous_pull": ["*"]}, {"sign_prefixes": ["a/"]}])
def test_a_lost_type_opens_nothing(folder: Path, rest: dict[str, Any]) -> None:
    """Settings of access control without `auth.type` are more likely a mistake than an open server."""
    (problem,) = _problems(folder, rest)
    assert problem.startswith("auth.type: is missing")
