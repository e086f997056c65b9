"""Registry and trust server behind one token service, through the real docker and notary: who may do what, and what they see."""

from __future__ import annotations

import base64
import json
import re
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.pki import Authority
from notary_server.tokens.robots import load_robots, new_robot, store_robots
from tests.support.reference import Reference
from tests.support.stack import Stack, free_port
from tests.support.token_service import ISSUER, SERVICE, TokenService

from .docker_engine import DockerUser, Workplace, engine, registry
from .notary_cli import Person, TrustServer
from .terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NOT_AUTHORIZED = "you are not authorized to perform this operation: server returned 401."


@dataclass(frozen=True)
class World:
    """Everything that runs."""

    place: Workplace
    tokens: TokenService
    platform: ECKey

    def names(self) -> tuple[str, str]:
        """A repository of the team that nobody has used yet, as docker names it, and its GUN: they are the same."""
        name = f"{self.place.registry}/team/{uuid.uuid4().hex[:8]}"
        return name, name


def _old(folder: Path, auth: dict[str, Any], stack: ExitStack) -> TrustServer:
    """Debian's notary-server."""
    reference = Reference(folder)
    stack.callback(reference.stop)
    reference.start()
    server = reference.server("server", auth)
    return TrustServer(server.url, Path(server.ca_file))


def _ours(folder: Path, auth: dict[str, Any], stack: ExitStack) -> TrustServer:
    """Our server and signer."""
    made = Stack(folder, server_changes=auth)
    stack.callback(made.destroy)
    made.start()
    return TrustServer(made.url, made.ca_file)


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Token service, registry, trust server and engine; rules for everybody who plays here."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="notary-docker-", ignore_cleanup_errors=True)
            )
        )
        folder.chmod(
            0o711
        )  # PostgreSQL, where it is played against the old server, runs as a user of its own
        servers = folder / "servers"
        servers.mkdir()
        port = free_port()
        tokens = TokenService(folder / "tokens", Authority(servers, "Test CA"), registry=f"localhost:{port}")
        platform = ECKey.generate_key("P-256", {"kid": "one"})
        _let_in(tokens, f"localhost:{port}", platform)
        options = {
            "realm": tokens.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(tokens.bundle),
        }  # fmt: skip
        stack.enter_context(tokens)
        auth: dict[str, Any] = {"type": "token", "options": options}
        if request.config.getoption("--old-server"):
            server = _old(servers, {"auth": auth}, stack)
        else:
            signing = {"sign_prefixes": [f"localhost:{port}/production/"]}
            server = _ours(servers, {"auth": auth | signing}, stack)
        host = stack.enter_context(engine(folder))
        address = stack.enter_context(registry(folder, port, {"token": options}))
        yield World(Workplace(host, address, server), tokens, platform)


def _let_in(tokens: TokenService, registry_name: str, platform: ECKey) -> None:
    """Alice publishes for the team, Bob reads, Carol administers; Eve publishes for another team; in production Frank
    pushes images and Grace signs them."""
    (tokens.folder / "platform.json").write_text(json.dumps({"keys": [platform.as_dict(private=False)]}))
    folders = ("team", "other", "public", "production")
    team, other, public, production = (f"{registry_name}/{name}/" for name in folders)
    rules: dict[str, tuple[str, list[str]]] = {
        "alice": (team, ["pull", "push"]),
        "bob": (team, ["pull"]),
        "carol": (team, ["admin"]),
        "dave": (team, ["pull", "push"]),
        "eve": (other, ["pull", "push"]),
        "frank": (production, ["pull", "push"]),
        "grace": (production, ["pull", "push", "sign"]),
    }
    for name in rules:
        tokens.user(name, f"{name}'s password")
    tokens.access(
        users=[
            {"names": [name], "repositories": [where], "actions": actions}
            for name, (where, actions) in rules.items()
        ]
        + [{"names": ["alice"], "repositories": [public], "actions": ["pull", "push"]}],
        anonymous=[{"repositories": [public], "actions": ["pull"]}],
        issuers=[
            {
                "name": "ci",
                "issuer": "https://ci.example.org",
                "audience": SERVICE,
                "jwks_file": "platform.json",
            }
        ],
        workloads=[
            {
                "issuer": "ci",
                "claims": {"project": "group/app"},
                "repositories": [team],
                "actions": ["pull", "push"],
            }
        ],
    )


@pytest.fixture
def docker(tmp_path: Path, world: World) -> Callable[[str], DockerUser]:
    """Makes people with docker who have logged in; the same name is the same person."""

    def make(name: str) -> DockerUser:
        made = DockerUser(tmp_path / f"docker-{name}", world.place)
        made.really_log_in(world.place.registry, name, f"{name}'s password")
        return made

    return make


@pytest.fixture
def notary(tmp_path: Path, world: World) -> Callable[[str], Person]:
    """Makes people with notary, their credentials in the environment; an empty name is nobody."""

    def make(name: str) -> Person:
        made = Person(tmp_path / f"notary-{name}", world.place.server)
        if name:
            made.environ["NOTARY_AUTH"] = base64.b64encode(f"{name}:{name}'s password".encode()).decode()
        return made

    return make


@pytest.fixture
def signed(world: World, docker: Callable[[str], DockerUser]) -> str:
    """A repository in which Alice has signed the tag v1."""
    name, _ = world.names()
    alice = docker("alice")
    alice.image(f"{name}:v1", name)
    assert f"Successfully signed {name}:v1" in alice.docker("push", f"{name}:v1", trust=True)
    return name


def test_what_one_publishes_another_pulls(signed: str, docker: Callable[[str], DockerUser]) -> None:
    """Push, `trust sign`, `trust inspect` and pull with content trust, all with tokens of one service."""
    alice, bob = docker("alice"), docker("bob")
    alice.image(f"{signed}:v2", "two")
    assert "Successfully signed" in alice.docker("trust", "sign", f"{signed}:v2")
    assert set(bob.signatures(signed)) == {"v1", "v2"}
    digest = alice.pushed_digest(f"{signed}:v1")
    alice.docker("image", "rm", f"{signed}:v1")
    assert f"{signed}:v1@sha256:{digest}" in bob.docker("pull", f"{signed}:v1", trust=True)


def test_who_may_only_pull_neither_pushes_nor_signs(signed: str, docker: Callable[[str], DockerUser]) -> None:
    """Not even with the keys: the registry refuses the image, the trust server the signature."""
    alice, bob = docker("alice"), docker("bob")
    shutil.copytree(alice.folder / ".docker" / "trust", bob.folder / ".docker" / "trust")
    bob.image(f"{signed}:v2", "two")
    assert "denied: requested access to the resource is denied" in bob.refused(
        "push", f"{signed}:v2", trust=True
    )
    assert NOT_AUTHORIZED in bob.refused("trust", "sign", f"{signed}:v1")
    assert NOT_AUTHORIZED in bob.refused("trust", "revoke", "--yes", signed)
    assert set(bob.signatures(signed)) == {"v1"}


def test_who_may_only_pull_publishes_nothing_with_notary(
    world: World, notary: Callable[[str], Person]
) -> None:
    """Neither a new repository, for which he does not even get a key, nor, with the owner's keys, a change to one."""
    _, gun = world.names()
    alice = notary("alice")
    alice.notary("init", gun)
    alice.notary("publish", gun)
    bob = alice.copy("notary-bob")
    bob.environ = notary("bob").environ
    assert NOT_AUTHORIZED in bob.refused("init", f"{gun}-other")
    bob.notary("add", gun, "v1", bob.file("v1", "one"))
    assert NOT_AUTHORIZED in bob.refused("publish", gun)
    assert alice.listed(gun) == {}


def test_who_publishes_neither_rotates_nor_deletes(world: World, notary: Callable[[str], Person]) -> None:
    """That takes an administrator."""
    _, gun = world.names()
    alice, carol = notary("alice"), notary("carol")
    alice.notary("init", gun)
    alice.notary("publish", gun)
    assert NOT_AUTHORIZED in alice.refused("key", "rotate", gun, "timestamp", "-r")
    assert NOT_AUTHORIZED in alice.refused("key", "rotate", gun, "snapshot", "-r")
    assert NOT_AUTHORIZED in alice.refused("delete", gun, "--remote")
    assert notary("bob").listed(gun) == {}
    carol.notary("delete", gun, "--remote")
    token = world.tokens.get(f"repository:{gun}:pull", user="bob", password="bob's password").token
    assert _ask(world, "GET", f"/v2/{gun}/_trust/tuf/root.json", token).startswith("404 ")


def test_who_pushes_does_not_sign_where_that_is_apart(
    request: pytest.FixtureRequest, world: World, docker: Callable[[str], DockerUser]
) -> None:
    """No client knows the permission: who has it gets it when he publishes."""
    if request.config.getoption("--old-server"):
        pytest.skip("to the old server, pushing is signing")
    name = f"{world.place.registry}/production/{uuid.uuid4().hex[:8]}"
    frank, grace = docker("frank"), docker("grace")
    frank.image(f"{name}:v1", "one")
    frank.docker("push", f"{name}:v1")
    assert NOT_AUTHORIZED in frank.refused("trust", "sign", f"{name}:v1")
    assert "Successfully signed" in grace.docker("trust", "sign", f"{name}:v1")
    frank.docker("pull", f"{name}:v1", trust=True)


def test_the_client_asks_for_name_and_password(world: World, notary: Callable[[str], Person]) -> None:
    """At a terminal, where nothing else says who it is; with a wrong password it is refused."""
    _, gun = world.names()
    alice, nobody = notary("alice"), notary("")
    alice.notary("init", gun)
    alice.notary("publish", gun)
    for password, status in (("bob's password", 0), ("wrong", 1)):
        with Terminal(nobody, "list", gun) as terminal:
            terminal.wait_for("Enter username:")
            terminal.type("bob")
            terminal.wait_for("Enter password:")
            terminal.type(password)
            assert terminal.end()[0] == status
        nobody.forget(gun)


def test_another_tenant_sees_nothing(
    world: World, signed: str, docker: Callable[[str], DockerUser], notary: Callable[[str], Person]
) -> None:
    """What others have looks to Eve like what nobody has, on her screen and on the wire."""
    eve, spy = docker("eve"), notary("eve")
    missing = f"{signed}-missing"
    shown = []
    for name in (signed, missing):
        screens = [
            eve.refused("trust", "inspect", name),
            eve.refused("pull", f"{name}:v1", trust=True),
            eve.refused("pull", f"{name}:v1"),
            spy.refused("list", name),
            spy.refused("init", name),
            spy.refused("delete", name, "--remote"),
            *_wire(world, name, "eve"),
        ]
        shown.append([_anonymous(screen, name) for screen in screens])
    assert shown[0] == shown[1]
    assert all("401" in words for words in shown[0][6:])


def _anonymous(shown: str, name: str) -> list[str]:
    """The words of what was shown, without the repository's name; the old server names actions in any order."""
    text = shown.replace(name, "NAME").replace(name.partition("/")[2], "NAME")
    return sorted(re.findall(r"\w+|\W", text))


def _wire(world: World, gun: str, user: str) -> list[str]:
    """Status, challenge and body of each way to ask for a repository, with the best token that the user gets."""
    scopes = (f"repository:{gun}:pull,push,*", "registry:catalog:*")
    token = world.tokens.get(*scopes, user=user, password=f"{user}'s password").token
    found = []
    for method, path in (
        *(("GET", f"{role}.json") for role in ("root", "targets", "snapshot", "timestamp", "1.root")),
        ("GET", "timestamp.key"),
        ("GET", "snapshot.key"),
        ("POST", "timestamp.key"),
        ("POST", ""),
        ("DELETE", ""),
    ):
        found.append(_ask(world, method, f"/v2/{gun}/_trust/tuf/{path}", token))
    found.append(_ask(world, "GET", f"/v2/{gun}/_trust/changefeed?records=1", token))
    found.append(_ask(world, "GET", "/v2/_trust/changefeed?records=1", token))
    return found


def _ask(world: World, method: str, path: str, token: str = "") -> str:
    server = world.place.server
    request = urllib.request.Request(server.url + path, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=str(server.ca_file))
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.headers['WWW-Authenticate']} {error.read().decode()}"


def test_a_password_that_was_changed_is_not_good_any_more(
    world: World, docker: Callable[[str], DockerUser]
) -> None:
    """docker remembers the old one and says what it heard; a new login helps."""
    name, _ = world.names()
    dave = docker("dave")
    dave.image(f"{name}:v1", "one")
    dave.docker("push", f"{name}:v1", trust=True)
    world.tokens.user("dave", "another password")
    assert "unauthorized: incorrect user name or password" in dave.refused("push", f"{name}:v1", trust=True)
    assert "unauthorized" in dave.refused("pull", f"{name}:v1", trust=True)
    dave.really_log_in(world.place.registry, "dave", "another password")
    dave.docker("pull", f"{name}:v1", trust=True)


def test_a_login_with_a_wrong_password_is_refused(world: World, tmp_path: Path) -> None:
    """In words that a person understands."""
    user = DockerUser(tmp_path / "somebody", world.place)
    for name in ("alice", "nobody"):
        shown = user.try_("login", "-u", name, "--password-stdin", world.place.registry, stdin="wrong")
        assert shown.status == 1
        assert "unauthorized: incorrect user name or password" in shown.errors


def test_a_robot_publishes_until_it_expires(world: World, tmp_path: Path) -> None:
    """With its secret as a password, at docker login."""
    name, _ = world.names()
    team = f"{world.place.registry}/team/"
    secret = world.tokens.robot("builder", team, "pull", "push")
    robot = DockerUser(tmp_path / "robot", world.place)
    robot.really_log_in(world.place.registry, "builder", secret)
    robot.image(f"{name}:v1", "one")
    robot.docker("push", f"{name}:v1", trust=True)
    file = world.tokens.folder / "robots.json"
    past = datetime.now(UTC) - timedelta(days=1)
    expired, secret = new_robot("late", [team], ["pull", "push"], past, past)
    store_robots(file, [*load_robots(file).by_name.values(), expired])
    shown = robot.try_("login", "-u", "late", "--password-stdin", world.place.registry, stdin=secret)
    assert shown.status == 1
    assert "unauthorized: incorrect user name or password" in shown.errors
    assert world.tokens.log[-1]["reason"] == "the robot has expired"


def test_a_workload_publishes_with_its_identity_token(world: World, tmp_path: Path) -> None:
    """As the password of the user `oidc`; one of another project may do nothing."""
    name, _ = world.names()
    now = int(time.time())
    claims = {"iss": "https://ci.example.org", "aud": SERVICE, "sub": "job", "iat": now, "exp": now + 300}
    job = DockerUser(tmp_path / "job", world.place)
    job.image(f"{name}:v1", "one")
    for project, allowed in (("group/other", False), ("group/app", True)):
        token = jwt.encode({"alg": "ES256", "kid": "one"}, claims | {"project": project}, world.platform)
        job.really_log_in(world.place.registry, "oidc", token)
        assert (job.try_("push", f"{name}:v1", trust=True).status == 0) == allowed


def test_anybody_reads_what_is_public(
    world: World, docker: Callable[[str], DockerUser], tmp_path: Path
) -> None:
    """Without a login; and nothing else."""
    name = f"{world.place.registry}/public/{uuid.uuid4().hex[:8]}"
    alice = docker("alice")
    alice.image(f"{name}:v1", "one")
    alice.docker("push", f"{name}:v1", trust=True)
    anybody = DockerUser(tmp_path / "anybody", world.place)
    anybody.docker("pull", f"{name}:v1", trust=True)
    assert set(anybody.signatures(name)) == {"v1"}
    anybody.image(f"{name}:v2", "two")
    anybody.refused("push", f"{name}:v2", trust=True)


def test_an_admission_controller_finds_its_way(world: World, signed: str) -> None:
    """As Portieris does: root.json without a token, the challenge, a posted password, root.json with the token."""
    path = f"/v2/{signed}/_trust/tuf/root.json"
    status, _, challenge = _ask(world, "GET", path).partition(" ")
    assert status == "401"
    for part in (
        f'realm="{world.tokens.realm}"',
        f'service="{SERVICE}"',
        f'scope="repository:{signed}:pull"',
    ):
        assert part in challenge
    answer = world.tokens.post(
        grant_type="password", client_id="portieris-client", username="bob", password="bob's password",
        service=SERVICE, scope=f"repository:{signed}:pull",
    )  # fmt: skip
    assert _ask(world, "GET", path, answer.token).startswith("200 ")
