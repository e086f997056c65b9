"""Workloads whose platform vouches for them: GitHub, GitLab and Kubernetes as they word their tokens."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from deploy.local.pki import Authority
from notary_common.tls import server_context
from tests.support.pki import LOCAL_NAMES
from tests.support.token_service import Answer, TokenService

from .conftest import REGISTRY

AUDIENCE = "registry.example.org"
TEAM = f"{REGISTRY}/team/"
ASKED = f"repository:{TEAM}app:pull,push"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"

GITHUB = {
    "iss": "https://token.actions.githubusercontent.com",
    "sub": "repo:org/app:ref:refs/heads/main",
    "repository": "org/app",
    "ref": "refs/heads/main",
    "runner_environment": "github-hosted",
    "run_attempt": "1",
}
GITLAB = {
    "iss": "https://gitlab.example.org",
    "sub": "project_path:group/app:ref_type:branch:ref:main",
    "project_path": "group/app",
    "ref_protected": "true",
}
KUBERNETES = {
    "iss": "https://kubernetes.default.svc.cluster.local",
    "sub": "system:serviceaccount:builds:builder",
    "kubernetes.io": {"namespace": "builds", "serviceaccount": {"name": "builder"}},
}
OTHER = {"iss": "https://ci.example.org", "sub": "job"}


class Platform:
    """An issuer's key, which changes, and its JWK set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = 0
        self.key: RSAKey | ECKey = RSAKey.generate_key(2048, {"kid": f"{name}-0"})

    def change(self) -> None:
        """Sign with another key from now on."""
        self.changed += 1
        self.key = ECKey.generate_key("P-256", {"kid": f"{self.name}-{self.changed}"})

    @property
    def jwks(self) -> str:
        """What is published."""
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    def token(self, claims: dict[str, Any], **changes: Any) -> str:
        """An identity token, good for five minutes."""
        now = int(time.time())
        whole = {"aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 300} | claims | changes
        algorithm = "RS256" if isinstance(self.key, RSAKey) else "ES256"
        present = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": self.key.kid}, present, self.key)


@contextmanager
def _published(platform: Platform, tls: SSLContext) -> Iterator[str]:
    """The platform's keys at an address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = platform.jwks.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/jwks"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def platforms(service: TokenService, authority: Authority, folder: Path) -> Iterator[dict[str, Platform]]:
    """GitHub's keys at an address, the others' in files; rules for each."""
    found = {name: Platform(name) for name in ("github", "gitlab", "kubernetes", "other")}
    tls = authority.issue("platform", LOCAL_NAMES)
    for name in ("gitlab", "kubernetes"):
        (service.folder / f"{name}.json").write_text(found[name].jwks)
    context = server_context(tls.certificate, tls.key)
    with _published(found["github"], context) as address, _published(found["other"], context) as other:
        sources: dict[str, dict[str, str]] = {
            "github": {"jwks_url": address, "ca_file": str(authority.files.certificate)},
            "gitlab": {"jwks_file": "gitlab.json"},
            "kubernetes": {"jwks_file": "kubernetes.json"},
            "other": {"jwks_url": other, "ca_file": str(authority.files.certificate)},
        }
        claims: dict[str, dict[str, Any]] = {
            "github": GITHUB,
            "gitlab": GITLAB,
            "kubernetes": KUBERNETES,
            "other": OTHER,
        }
        wanted: dict[str, dict[str, object]] = {
            "github": {"repository": "org/app", "ref": ["refs/heads/main", "refs/heads/release"]},
            "gitlab": {"project_path": "group/*", "ref_protected": "true"},
            "kubernetes": {"sub": "system:serviceaccount:builds:*"},
            "other": {"sub": "*"},
        }
        service.access(
            issuers=[
                {"name": name, "issuer": claims[name]["iss"], "audience": AUDIENCE, **sources[name]}
                for name in found
            ],
            workloads=[
                {"issuer": name, "claims": wanted[name], "repositories": [TEAM], "actions": ["pull", "push"]}
                for name in found
            ],
        )
        yield found


def _docker(service: TokenService, token: str) -> Answer:
    return service.get(ASKED, user="oidc", password=token)


@pytest.mark.parametrize(
    ("name", "claims", "subject"),
    [
        ("github", GITHUB, "github:repo:org/app:ref:refs/heads/main"),
        ("gitlab", GITLAB, "gitlab:project_path:group/app:ref_type:branch:ref:main"),
        ("kubernetes", KUBERNETES, "kubernetes:system:serviceaccount:builds:builder"),
    ],
)
def test_an_identity_token_is_exchanged(
    service: TokenService, platforms: dict[str, Platform], name: str, claims: dict[str, Any], subject: str
) -> None:
    """As the password of the user `oidc`, and in RFC 8693's way."""
    token = platforms[name].token(claims)
    exchanged = service.post(
        grant_type=EXCHANGE, subject_token=token, subject_token_type=ID_TOKEN, audience=AUDIENCE, scope=ASKED
    )
    assert exchanged.body["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    for answer in (
        exchanged,
        _docker(service, token),
        service.post(grant_type="password", username="oidc", password=token, scope=ASKED),
    ):
        assert answer.status == 200
        assert answer.granted == {f"{TEAM}app": ["pull", "push"]}
        assert answer.claims["sub"] == subject


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "org/other"},
        {"repository": None},
        {"ref": "refs/heads/feature"},
        {"ref": "refs/heads/main/../x"},
    ],
)
def test_a_workload_that_no_rule_means_gets_nothing(
    service: TokenService, platforms: dict[str, Platform], changes: dict[str, Any]
) -> None:
    """Its identity is good, and it may do nothing."""
    answer = _docker(service, platforms["github"].token(GITHUB, **changes))
    assert (answer.status, answer.granted) == (200, {})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, 'the token is for "other"'),
        ({"aud": None}, "the token is for"),
        ({"exp": 1}, "the token ended"),
        ({"exp": None}, "the token has no end"),
        ({"nbf": 4102444800}, "the token is valid in"),
        ({"iss": "https://evil.example.org"}, "the access file does not name the issuer"),
        ({"sub": None}, "the token names no subject"),
    ],
)
def test_a_token_that_is_not_good_is_refused(
    service: TokenService, platforms: dict[str, Platform], changes: dict[str, Any], reason: str
) -> None:
    """The client hears what it always hears; the log says why."""
    token = platforms["github"].token(GITHUB, **changes)
    answer = _docker(service, token)
    assert answer.status == 401
    assert answer.body["errors"][0]["message"] == "incorrect user name or password"
    assert reason in service.log[-1]["reason"]
    assert token not in service.daemon.log.read_text()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_that_the_issuer_did_not_sign_is_refused(
    service: TokenService, platforms: dict[str, Platform]
) -> None:
    """Another key under its name, none at all, its public key as a shared secret, another issuer's."""
    github = platforms["github"]
    forged = Platform("github")
    good = github.token(GITHUB)
    header, claims, _ = good.split(".")
    head = _encoded(json.dumps({"alg": "HS256", "kid": github.key.kid}).encode())
    public = github.key.as_pem(private=False)
    confused = f"{head}.{claims}"
    confused += "." + _encoded(hmac.digest(public, confused.encode(), "sha256"))
    tokens = {
        "another key": forged.token(GITHUB),
        "no algorithm": f"eyJhbGciOiJub25lIn0.{claims}.",
        "no signature": f"{header}.{claims}.",
        "public key as a secret": confused,
        "broken signature": good[:-8] + "AAAAAAAA",
        "no token": "a.b.c",
        "one word": "x",
        "long": "x" * 17_000,
    }
    assert {what: _docker(service, token).status for what, token in tokens.items()} == dict.fromkeys(
        tokens, 401
    )
    assert _docker(service, good).status == 200


def test_an_issuer_changes_its_keys(service: TokenService, platforms: dict[str, Platform]) -> None:
    """In a file, which is read again; at an address, which is asked again when a token names a new key."""
    # Makes the service look for the keys of all: an address is not asked twice within a few seconds for a token's sake.
    assert _docker(service, platforms["kubernetes"].token(KUBERNETES)).status == 200
    for name, claims in (("gitlab", GITLAB), ("other", OTHER)):
        old = platforms[name].token(claims)
        assert _docker(service, old).status == 200
        platforms[name].change()
        if name == "gitlab":
            (service.folder / "gitlab.json").write_text(platforms[name].jwks)
        assert _docker(service, platforms[name].token(claims)).status == 200
        assert _docker(service, old).status == 401
