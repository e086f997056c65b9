"""Tokens that our token service issues open the old server's door as they open ours, also while its keys change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notary_server.tokens.issue import signed_token
from notary_server.tokens.keys import TokenKey, new_key, write_bundle
from notary_server.tokens.scopes import parse_scopes
from tests.publisher import Client

from .servers import OldServers, OurServers

pytestmark = pytest.mark.differential

ISSUER, SERVICE, GUN = "tokens.example.org", "registry.example.org", "localhost:5000/team/app"
NOW = datetime.now(UTC)
KEYS = {
    "before": new_key(ISSUER, NOW - timedelta(days=30)),
    "now": new_key(ISSUER, NOW),
    "tomorrow": new_key(ISSUER, NOW + timedelta(days=1)),
}


@pytest.fixture(scope="module")
def servers(
    old: OldServers, ours: OurServers, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Client, Client]:
    """Both, with the certificates of all keys as the service writes them."""
    bundle = write_bundle(Path(tmp_path_factory.mktemp("keys")), KEYS.values())
    options = {
        "realm": "https://tokens.example.org/token",
        "service": SERVICE,
        "issuer": ISSUER,
        "rootcertbundle": str(bundle),
    }
    changes = {"auth": {"type": "token", "options": options}}
    return old.configured("issued-tokens", changes), ours.configured("issued-tokens", changes)


def _statuses(servers: tuple[Client, Client], key: TokenKey, method: str, path: str, scope: str) -> list[int]:
    token = signed_token(
        key, issuer=ISSUER, service=SERVICE, subject="alice", granted=parse_scopes([scope]), now=datetime.now(UTC),
        lifetime=300, token_id="1",
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {token}"}
    return [server.request(method, path, headers=headers).status for server in servers]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"/v2/{GUN}/_trust/tuf/root.json", f"repository:{GUN}:pull"),
        ("GET", f"/v2/{GUN}/_trust/tuf/timestamp.key", f"repository:{GUN}:push,pull,sign"),
        ("GET", "/v2/_trust/changefeed?records=1", "registry:catalog:*"),
        ("DELETE", f"/v2/{GUN}/_trust/tuf/", f"repository:{GUN}:*"),
    ],
)
def test_each_scope_opens_its_door(
    servers: tuple[Client, Client], method: str, path: str, scope: str
) -> None:
    """And no other: the scope of somebody else's repository opens none."""
    there, here = _statuses(servers, KEYS["now"], method, path, scope)
    assert there == here != 401
    assert _statuses(servers, KEYS["now"], method, path, "repository:other/app:*") == [401, 401]


@pytest.mark.parametrize(
    ("name", "status"), [("before", 404), ("now", 404), ("tomorrow", 401), ("a stranger's", 401)]
)
def test_keys_come_and_go(servers: tuple[Client, Client], name: str, status: int) -> None:
    """Both believe what an earlier key signed; none that has not begun, which the service does not sign with."""
    key = KEYS.get(name) or new_key(ISSUER, NOW)
    path = f"/v2/{GUN}/_trust/tuf/root.json"
    assert _statuses(servers, key, "GET", path, f"repository:{GUN}:pull") == [status, status]
