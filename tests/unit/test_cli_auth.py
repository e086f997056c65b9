"""`notary-server auth explain` and what `--check-config` says of keys."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from notary_server.cli import main
from tests.support.tokens import ISSUER, Signer, access, claims, key_set, options
from tests.unit.auth.test_key_url import TokenService

SIGNER, OTHER = Signer(), Signer()
GUN = "registry.example.org/team/app"


def _config(folder: Path, auth: dict[str, Any]) -> str:
    document = {
        "server": {"http_addr": "127.0.0.1:0"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "memory"},
        "auth": auth,
    }
    path = folder / "server.json"
    path.write_text(json.dumps(document))
    return str(path)


def _explain(config: str, token: str, *more: str) -> Result:
    args = ["auth", "explain", "--config", config, *more]
    return CliRunner().invoke(main, args, input=token, prog_name="notary-server")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration that believes `SIGNER`."""
    return _config(
        tmp_path, options(tmp_path, SIGNER) | {"sign_prefixes": ["prod/"], "anonymous_pull": ["public/"]}
    )


def test_a_good_token_passes_every_check(config: str) -> None:
    """The key by both of its names, what the token grants, and the decision."""
    token = SIGNER.token(claims(access(GUN, "pull", "push")))
    result = _explain(config, f"Bearer {token}\n", "--want", "push", "--gun", GUN)
    assert result.exit_code == 0
    assert "FAIL" not in result.output
    assert f"pass  key: {SIGNER.fingerprint} (RFC 7638: {SIGNER.thumbprint})" in result.output
    assert f"repository:{GUN}:pull,push: granted" in result.output
    assert all(part not in result.output for part in token.split("."))


def test_a_bad_token_is_told_everything_at_once(config: str) -> None:
    """The server stops at the first failure; whoever repairs a token service wants all of them."""
    now = int(time.time())
    token = OTHER.token(claims(aud="harbor-notary", exp=now - 500, nbf=now + 500), kid=SIGNER.fingerprint)
    result = _explain(config, token, "--json")
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert told["good"] is False
    failed = {check["check"]: check["text"] for check in told["checks"] if not check["passed"]}
    assert set(failed) == {"signature", "audience", "not before", "expiry"}
    assert 'the token is for "harbor-notary"' in failed["audience"]
    assert "500 seconds ago" in failed["expiry"] or "501 seconds ago" in failed["expiry"]
    assert token.rpartition(".")[2] not in result.output


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: "garbage", "form: a token has three parts"),
        (lambda: SIGNER.token(claims(iss="quay")), f'issued by "quay", this server believes {ISSUER}'),
        (lambda: SIGNER.token(claims(), kid="ABCD"), 'the key "ABCD" is not one of this issuer'),
        (lambda: SIGNER.unsigned_token(claims()), 'the algorithm "none" is not among'),
        (lambda: SIGNER.token(claims(), kid=None), "the header names no key"),
        (lambda: SIGNER.token(claims(None)), "the claim access has the wrong type"),
        (lambda: SIGNER.token(claims(exp=10**17)), "exp: 100000000000000000"),
    ],
)
def test_each_failure_is_named(config: str, make: Callable[[], str], said: str) -> None:
    """In the words of the log."""
    assert said in _explain(config, make()).output


@pytest.mark.parametrize(
    ("want", "gun", "granted", "said"),
    [
        ("pull", "prod/app", True, "repository:prod/app:pull: granted"),
        ("push", "prod/app", False, "does not grant sign on repository prod/app"),
        ("admin", "prod/app", False, "does not grant * on repository prod/app"),
        ("pull", "public/app", True, "anybody may (auth.anonymous_pull)"),
        ("pull", "Prod/app", False, "does not grant pull"),
        ("catalog", "", False, "does not grant * on registry catalog"),
    ],
)
def test_what_is_asked_about_is_decided(config: str, want: str, gun: str, granted: bool, said: str) -> None:
    """As the server would decide it."""
    token = SIGNER.token(claims(access("prod/app", "pull", "push")))
    result = _explain(config, token, "--want", want, *(("--gun", gun) if gun else ()))
    assert said in result.output
    assert (result.exit_code == 0) is granted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--gun", "a"], "say with --want"),
        (["--want", "pull"], "the repository name is empty"),
        (["--want", "pull", "--gun", "a//b"], "empty, '.' or '..' segment"),
        (["--want", "catalog", "--gun", "a"], "leave --gun out"),
        (["--want", "all"], "admin"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(config: str, more: list[str], said: str) -> None:
    """With what to write instead."""
    result = _explain(config, "x", *more)
    assert result.exit_code == 2
    assert said in result.output


def test_nothing_to_explain(tmp_path: Path, config: str) -> None:
    """No token, or a server that asks for none."""
    assert "holds no token" in _explain(config, "\n").output
    result = _explain(_config(tmp_path, {"type": ""}), "x")
    assert result.exit_code == 1
    assert "auth.type: is not set" in result.output


def test_keys_from_an_address_are_fetched(tmp_path: Path) -> None:
    """As the server fetches them; if they cannot be had, that is said."""
    service = TokenService()
    service.body = key_set(SIGNER)
    section = options(tmp_path, OTHER)
    section["options"] |= {"rootcertbundle": None, "jwks_url": service.url}
    config = _config(tmp_path, section)
    token = SIGNER.token(claims(), kid="key 0")
    assert _explain(config, token).exit_code == 0
    service.status = 500
    result = _explain(config, token)
    assert "keys of this issuer cannot be fetched" in result.output
    service.shutdown()
    service.server_close()


def _checked(config: str) -> Result:
    return CliRunner().invoke(
        main, ["serve", "--config", config, "--check-config"], prog_name="notary-server"
    )


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("rootcertbundle", b"no certificate", "auth.options.rootcertbundle: {} holds no PEM certificate"),
        ("jwks_file", b"{}", "auth.options.jwks_file: {} is no key set"),
        ("jwks_file", key_set(SIGNER, d="AA"), "auth.options.jwks_file: {} holds a private key"),
        ("jwks_ca_file", b"x", "auth.options.jwks_ca_file: {} holds no PEM certificate"),
    ],
)
def test_a_server_does_not_start_with_keys_that_cannot_be_used(
    tmp_path: Path, file: str, content: bytes, said: str
) -> None:
    """Each with the file and the reason."""
    path = tmp_path / "keys"
    path.write_bytes(content)
    section = options(tmp_path, SIGNER)
    section["options"] |= {file: str(path)}
    if file == "jwks_ca_file":
        section["options"]["jwks_url"] = "https://auth.example.org/keys"
    result = _checked(_config(tmp_path, section))
    assert result.exit_code == 1
    assert said.format(f"{path}:") in result.output
    section["options"] = {"realm": "r", "service": "s", "issuers": [{"issuer": "i", **section["options"]}]}
    for key in ("realm", "service", "autoredirect"):
        section["options"]["issuers"][0].pop(key, None)
    section["options"]["issuers"][0]["issuer"] = "i"
    result = _checked(_config(tmp_path, section))
    assert f"auth.options.issuers: entry 1, {file}: {path}" in result.output


def test_good_keys_start(tmp_path: Path) -> None:
    """Notary's own options as they stand."""
    assert _checked(_config(tmp_path, options(tmp_path, SIGNER))).output == "configuration is good\n"
