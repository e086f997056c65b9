"""The running service: what it answers to clients of either kind, and what it writes about it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
import urllib.request
import uuid
from pathlib import Path

import pytest

from deploy.local.pki import Authority
from notary_server.tokens.app import MAX_CLIENT_CONNECTIONS
from tests.support.pki import LOCAL_NAMES
from tests.support.stack import free_port
from tests.support.token_service import ISSUER, SERVICE, Answer, TokenService

from .conftest import REGISTRY

TEAM = f"{REGISTRY}/team/"


@pytest.fixture(autouse=True)
def access(service: TokenService) -> None:
    """Alice publishes for the team, Bob reads."""
    service.access(
        users=[
            {"names": ["alice"], "repositories": [TEAM], "actions": ["pull", "push"]},
            {"names": ["bob"], "repositories": [TEAM], "actions": ["pull"]},
        ],
    )


def _get(asked: TokenService, name: str, *scopes: str, **parameters: str) -> Answer:
    return asked.get(*scopes, user=name, password=f"{name}'s password", **parameters)


def test_get_with_basic_gives_a_token(service: TokenService) -> None:
    """As docker asks, with all parameters that it sends."""
    answer = _get(
        service,
        "alice",
        f"repository:{TEAM}app:push,pull",
        "repository:team/app:pull",
        service=SERVICE,
        account="alice",
        client_id="docker",
        offline_token="true",
    )
    assert answer.status == 200
    assert set(answer.body) == {"token", "access_token", "token_type", "expires_in", "issued_at"}
    assert answer.body["token"] == answer.body["access_token"]
    assert answer.body["expires_in"] == 300
    assert answer.granted == {f"{TEAM}app": ["pull", "push"], "team/app": ["pull"]}
    claims = answer.claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, SERVICE, "alice")
    assert claims["exp"] - claims["iat"] == 300
    assert answer.headers["Cache-Control"] == "no-store"


def test_post_with_a_password_gives_a_token(service: TokenService) -> None:
    """As Portieris asks, which reads `token`."""
    answer = service.post(
        grant_type="password",
        client_id="portieris-client",
        username="bob",
        password="bob's password",
        service=SERVICE,
        scope=f"repository:{TEAM}app:pull",
    )
    assert answer.status == 200
    assert answer.granted == {f"{TEAM}app": ["pull"]}


def test_nothing_granted_is_a_token_too(service: TokenService) -> None:
    """`docker login` asks for nothing; who asks for what he may not have is told by the registry."""
    assert _get(service, "bob").granted == {}
    assert _get(service, "bob", "repository:other/app:pull").granted == {}
    assert _get(service, "bob", "registry:catalog:*").granted == {}


def test_without_credentials_one_is_nobody(service: TokenService) -> None:
    """With what everybody may have: `notary` asks so before it shows its credentials."""
    asked = f"repository:{REGISTRY}/public/app:pull,push"
    assert service.get(asked).granted == {}
    service.access(anonymous=[{"repositories": ["public/"], "actions": ["pull"]}])
    answer = service.get(asked)
    assert answer.granted == {f"{REGISTRY}/public/app": ["pull"]}
    assert answer.claims["sub"] == ""
    # Whoever has a name may do no less.
    assert _get(service, "bob", asked).granted == {f"{REGISTRY}/public/app": ["pull"]}


@pytest.mark.parametrize(
    ("name", "password"), [("dave", "wrong"), ("dave", ""), ("nobody", "dave's password")]
)
def test_wrong_credentials_are_refused_in_one_way(service: TokenService, name: str, password: str) -> None:
    """Whether or not the user exists; docker shows the message, OAuth clients read `error`."""
    for answer in (
        service.get(user=f"{name}", password=password),
        service.post(grant_type="password", username=name, password=password or "-"),
    ):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == f'Basic realm="{SERVICE}", charset="UTF-8"'
        assert answer.body == {
            "errors": [{"code": "UNAUTHORIZED", "message": "incorrect user name or password"}],
            "error": "invalid_grant",
            "error_description": "incorrect user name or password",
        }


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "bob"}, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}, "invalid_request"),
        (
            {"grant_type": "password", "username": "bob", "password": "x", "scope": "nonsense"},
            "invalid_scope",
        ),
        (
            {"grant_type": "password", "username": "bob", "password": "x", "service": "other"},
            "invalid_request",
        ),
    ],
)
def test_requests_that_cannot_be_granted(service: TokenService, form: dict[str, str], error: str) -> None:
    """400, in OAuth's words; there are no refresh tokens, so that docker keeps user and password."""
    answer = service.post(**form)
    assert (answer.status, answer.body["error"]) == (400, error)
    assert service.log[-1]["msg"] == "token refused"


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/token?scope=nonsense", {}, None, 400),
        ("/token?service=a&service=b", {}, None, 400),
        ("/token?" + "&".join(f"p{number}=" for number in range(200)), {}, None, 400),
        ("/token?scope=%FF", {}, None, 400),
        ("/token", {"Authorization": "Basic"}, None, 401),
        ("/token", {"Authorization": "Basic !!!"}, None, 401),
        ("/token", {"Authorization": "Basic Ym9i"}, None, 401),
        ("/token", {"Authorization": "Basic /////w=="}, None, 401),
        ("/token", {"Authorization": "Bearer Ym9iOng="}, None, 401),
        ("/token", {"Content-Type": "application/json"}, b"{}", 400),
        ("/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"\xff", 400),
        ("/token", {"Content-Type": "application/x-www-form-urlencoded"}, b"x" * 10000, 413),
        ("/token/", {}, None, 404),
        ("/", {}, None, 404),
        ("/jwks.json", {}, b"", 405),
    ],
)
def test_broken_requests(
    service: TokenService, path: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    """Each is answered in JSON that docker can read."""
    answer = service.request(path, body, headers)
    assert answer.status == status
    assert answer.body["errors"][0]["message"]


def test_a_user_who_fails_too_often_has_to_wait(service: TokenService) -> None:
    """Also with the right password; others do not; a name that nobody has is treated alike."""
    for name in ("carol", f"nobody-{uuid.uuid4().hex[:8]}"):
        statuses = [service.get(user=name, password="wrong").status for _ in range(10)]
        assert statuses == [401] * 10
        refused = service.get(user=name, password=f"{name}'s password")
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.body["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert _get(service, "alice").status == 200


def test_a_changed_rule_counts_for_the_next_token(service: TokenService) -> None:
    """A broken one does not: the old rules stay, and the log says so."""
    asked = f"repository:{TEAM}app:pull"
    assert _get(service, "bob", asked).granted
    (service.folder / "access.json").write_text("{")
    assert _get(service, "bob", asked).granted
    assert any("the old content stays" in line["msg"] for line in service.log)
    service.access()
    assert not _get(service, "bob", asked).granted


def test_a_robot_does_what_it_was_made_for_until_it_is_revoked(service: TokenService) -> None:
    """With its secret as a password, in either way; the service takes it up while it runs."""
    secret = service.robot("ci", TEAM, "pull", "push")
    asked = f"repository:{TEAM}app:pull,push repository:other/app:pull"
    for answer in (
        service.get(asked, user="ci", password=secret),
        service.post(grant_type="password", username="ci", password=secret, scope=asked),
    ):
        assert answer.granted == {f"{TEAM}app": ["pull", "push"]}
        assert answer.claims["sub"] == "ci"
    assert service.get(user="alice", password=secret).status == 401
    assert service.get(user="ci", password=secret + "x").status == 401
    service.run("robot", "revoke", "ci")
    assert service.get(asked, user="ci", password=secret).status == 401


def test_a_new_key_is_published_before_it_signs(service: TokenService) -> None:
    """And taken up while the service runs; with no delay it signs at once."""
    before = _get(service, "bob").header["kid"]
    service.run("key", "create")
    published = [entry["kid"] for entry in service.request("/jwks.json").body["keys"]]
    assert len(published) == 2
    assert before in published
    assert _get(service, "bob").header["kid"] == before
    service.run("key", "create", "--starts-in", "0")
    after = _get(service, "bob").header["kid"]
    assert after != before
    assert after in [entry["kid"] for entry in service.request("/jwks.json").body["keys"]]


def test_every_grant_and_every_refusal_leaves_a_line(service: TokenService) -> None:
    """Who asked for what and what was granted; no password, no secret, no token."""
    secret = service.robot("logged", TEAM, "pull")
    answer = service.get(f"repository:{TEAM}app:pull,push", user="logged", password=secret, client_id="me")
    line = service.log[-1]
    assert line["msg"] == "token granted"
    assert (line["user"], line["kind"], line["client"]) == ("logged", "robot", "me")
    assert line["asked"] == [f"repository:{TEAM}app:pull,push"]
    assert line["granted"] == [f"repository:{TEAM}app:pull"]
    assert line["id"] == answer.claims["jti"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    service.get(user="logged", password="ntr_a wrong secret")
    assert (service.log[-1]["msg"], service.log[-1]["reason"]) == ("token refused", "not the robot's secret")
    written = service.daemon.log.read_text()
    for hidden in (secret, "ntr_a wrong", "'s password", answer.token[-40:]):
        assert hidden not in written
    assert json.dumps(answer.claims["jti"]) in written


def test_a_client_that_sends_nothing_is_cut_off(service: TokenService) -> None:
    """The connection does not outlive `limits.request_timeout`."""
    context = ssl.create_default_context(cafile=str(service.ca_file))
    with (
        socket.create_connection(("localhost", service.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as slow,
    ):
        slow.sendall(b"GET /token HTTP/1.1\r\n")
        assert slow.recv(1000) == b""


def _bare(service: TokenService, say: bytes) -> bytes:
    """All that the service answers to these bytes until it closes."""
    context = ssl.create_default_context(cafile=str(service.ca_file))
    with (
        socket.create_connection(("localhost", service.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as talking,
    ):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            talking.sendall(say)
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while more := talking.recv(65536):
                answer += more
        return answer


def test_credentials_in_no_alphabet_are_wrong_ones(service: TokenService) -> None:
    """What is no Base64 at all is refused like any other, and no defect."""
    answer = _bare(service, "GET /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \u00e9\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_scope_is_decoded_once(service: TokenService) -> None:
    """A name that holds an escape is that name, and not the one that comes of it."""
    service.access(users=[{"names": ["alice"], "repositories": ["*"], "actions": ["pull"]}])
    names = ["team/a%2Fb", "team/c++"]
    answer = _get(service, "alice", *(f"repository:{name}:pull" for name in names))
    assert answer.granted == {name: ["pull"] for name in names}


def test_a_header_without_end_is_cut_off(service: TokenService) -> None:
    """However many fields it has, of which each is short enough."""
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 20_000) for number in range(20))
    assert _bare(service, b"GET /token HTTP/1.1\r\n" + fields) == b""


def test_a_client_with_many_connections_loses_its_own(service: TokenService) -> None:
    """Those that say nothing, the oldest first; others are served meanwhile."""
    more = 4
    with contextlib.ExitStack() as opened:
        flood = [
            opened.enter_context(socket.create_connection(("127.0.0.1", service.port), 5, ("127.0.0.2", 0)))
            for _ in range(MAX_CLIENT_CONNECTIONS + more)
        ]
        assert service.request("/health").status == 200
        for one in flood[:more]:
            assert one.recv(1) == b""
        flood[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            flood[-1].recv(1)


def test_the_word_of_a_trusted_proxy_counts(service: TokenService) -> None:
    """For the log, and for the failures of an address."""
    service.request("/token", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
    assert service.log[-1]["address"] == "198.51.100.7"


def test_a_renewed_certificate_is_shown_without_a_restart(
    service: TokenService, authority: Authority
) -> None:
    """Clients that come now see it."""
    before = _shown(service)
    authority.issue("tokens", LOCAL_NAMES)
    deadline = time.monotonic() + 30
    while _shown(service) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert service.request("/health").status == 200


def _shown(service: TokenService) -> str:
    return ssl.get_server_certificate(("localhost", service.port), ca_certs=str(service.ca_file))


def test_health_says_whether_it_could_sign(service: TokenService) -> None:
    """For probes."""
    answer = service.request("/health")
    assert (answer.status, answer.body) == (200, {})


def test_tokens_and_refusals_are_counted_where_probes_ask(folder: Path, authority: Authority) -> None:
    """By kind of caller and by error; no name of anybody is in it."""
    port = free_port()
    changes = {"management": {"http_addr": f"127.0.0.1:{port}"}}
    made = TokenService(folder / "counted", authority, registry=REGISTRY, changes=changes)
    made.user("alice", "alice's password")

    def ask(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    with made:
        assert _get(made, "alice").status == 200
        assert made.get(user="alice", password="wrong").status == 401
        assert made.get("nonsense", user="alice", password="alice's password").status == 400
        assert '"ready": true' in ask("/readyz")
        shown = ask("/metrics")
    for line in (
        'notary_tokens_issued_total{kind="user"} 1.0',
        'notary_tokens_refused_total{error="invalid_grant"} 1.0',
        'notary_tokens_refused_total{error="invalid_scope"} 1.0',
    ):
        assert line in shown
    assert "alice" not in shown
