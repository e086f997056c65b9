"""`notary-server doctor` over real parts: all well, and each thing broken on purpose is found, alone, with its remedy."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pki import Authority
from notary_server.config import inspect
from notary_server.doctor.checks import Check
from notary_server.doctor.examination import examine
from notary_server.doctor.rehearsal import GUN
from notary_server.tuf.names import Gun
from tests.support.postgres import PostgresCluster
from tests.support.stack import Stack

pytestmark = pytest.mark.faults

WELL = {
    "configuration": "ok",
    "open files": "ok",
    "listener": "ok",
    "server.tls_cert_file": "ok",
    "trust_service.tls_client_cert": "ok",
    "trust_service.tls_ca_file": "ok",
    "auth": "warning",
    "database": "ok",
    "database writes": "ok",
    "clock": "ok",
    "connections": "ok",
    "signer": "ok",
    "publish": "ok",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster) -> Iterator[Stack]:
    """A signer that runs, and a server that need not, over PostgreSQL."""
    folder = tmp_path_factory.mktemp("doctor")
    databases = (postgres_cluster.create_database(), postgres_cluster.create_database())
    with Stack(folder / "stack", databases=databases) as made:
        made.server.stop()
        yield made


def examined(stack: Stack, gun: Gun | None = GUN) -> dict[str, dict[str, str]]:
    """What is found, by the name of the check."""

    async def run() -> list[Check]:
        return [check async for check in examine(inspect(stack.server_config, {}), gun)]

    return _by_name([check.as_json() for check in asyncio.run(run())])


def told(stack: Stack, *options: str) -> dict[str, dict[str, str]]:
    """The same by the command; whether anything failed is the status of the process."""
    done = stack.server.command("doctor", "--config", str(stack.server_config), "--json", *options)
    found = _by_name(json.loads(done.stdout))
    assert done.returncode == any(one["status"] == "failed" for one in found.values()), done.stderr
    assert not done.stderr
    return found


def _by_name(found: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {one["check"].split(" localhost")[0]: one for one in found}


def statuses(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """Without the words."""
    return {name: one["status"] for name, one in found.items()}


def test_all_is_well_and_nothing_is_left(stack: Stack) -> None:
    """But two keys that are retired: the next look makes two more."""
    assert statuses(told(stack)) == WELL
    assert "no repositories" in stack.server.check("repo", "list", "--config", str(stack.server_config))
    keys = json.loads(stack.signer.check("keys", "list", "--config", str(stack.signer_config), "--json"))
    assert {(key["gun"], key["state"]) for key in keys} == {("notary-doctor", "retired")}
    assert "publish" not in told(stack, "--no-publish")


def test_without_a_signer_the_rest_is_told(stack: Stack) -> None:
    """And nothing is published."""
    stack.signer.stop()
    try:
        found = told(stack)
    finally:
        stack.signer.start()
    assert statuses(found) == WELL | {"signer": "failed", "publish": "skipped"}
    assert "notary-signer" in found["signer"]["remedy"]


def test_a_client_that_may_not_sign_is_told_by_the_publish(stack: Stack) -> None:
    """Health says nothing about rights."""
    before = stack.signer_config.read_text()
    stack.signer.stop()
    stack.change(signer={"clients": [{"subject_cn": "notary-server", "operations": ["health", "describe"]}]})
    stack.signer.start()
    try:
        found = examined(stack)
    finally:
        stack.signer.stop()
        stack.signer_config.write_text(before)
        stack.signer.start()
    assert statuses(found) == WELL | {"publish": "failed"}
    assert "clients" in found["publish"]["remedy"]


def test_the_wrong_authority_and_files_that_are_not_certificates(stack: Stack, tmp_path: Path) -> None:
    """The first is seen when the signer is asked, the second at once."""
    before = stack.server_config.read_text()
    other = Authority(tmp_path / "other", "Another one")
    try:
        stack.change(server={"trust_service": {"tls_ca_file": str(other.files.certificate)}})
        assert statuses(examined(stack)) == WELL | {"signer": "failed", "publish": "skipped"}
        broken = tmp_path / "broken.pem"
        broken.write_text("no certificate")
        stack.change(server={"trust_service": {"tls_ca_file": str(broken)}})
        found = examined(stack)
    finally:
        stack.server_config.write_text(before)
    assert found["trust_service.tls_ca_file"]["status"] == "failed"
    assert found["signer"]["status"] == "failed"
    assert found["publish"]["status"] == "skipped"


def test_a_key_that_others_may_read(stack: Stack, tmp_path: Path) -> None:
    """It works, and is told."""
    before = stack.server_config.read_text()
    key = tmp_path / "key.pem"
    shutil.copy(stack.server_client.key, key)
    os.chmod(key, 0o644)  # noqa: PTH101 - the umask must not change it
    try:
        stack.change(server={"trust_service": {"tls_client_key": str(key)}})
        found = examined(stack, None)
    finally:
        stack.server_config.write_text(before)
    assert found["trust_service.tls_client_key"]["status"] == "warning"
    assert found["trust_service.tls_client_key"]["remedy"].startswith(f"chmod 640 {key}")


def test_the_database_is_away_or_has_no_tables(stack: Stack, postgres_cluster: PostgresCluster) -> None:
    """The remedy is another one. Signers are asked all the same."""
    before = stack.server_config.read_text()
    try:
        stack.change(server={"storage": {"db_url": "postgres://nobody@127.0.0.1:1/x?sslmode=disable"}})
        away = examined(stack)
        stack.change(server={"storage": {"db_url": postgres_cluster.create_database()}})
        empty = examined(stack)
    finally:
        stack.server_config.write_text(before)
    for found in (away, empty):
        assert found["database"]["status"] == "failed"
        assert "database writes" not in found
        assert found["signer"]["status"] == "ok"
    assert "storage.db_url" in away["database"]["remedy"]
    assert "db upgrade" in empty["database"]["remedy"]


def test_a_user_who_may_only_read(stack: Stack, postgres_cluster: PostgresCluster) -> None:
    """Readers would be served, and every publish refused."""
    url = json.loads(stack.server_config.read_text())["storage"]["db_url"]
    before = stack.server_config.read_text()
    separator = "&" if "?" in url else "?"
    try:
        stack.change(
            server={"storage": {"db_url": f"{url}{separator}options=-c%20default_transaction_read_only%3Don"}}
        )
        found = examined(stack, None)
    finally:
        stack.server_config.write_text(before)
    assert found["database writes"]["status"] == "failed", found
    assert "primary" in found["database writes"]["remedy"]


def test_configuration_and_addresses(stack: Stack) -> None:
    """A key that is not known is named; an address that somebody has is told; a name that cannot be is refused."""
    before = stack.server_config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        try:
            stack.change(
                server={
                    "management": {"http_addr": f"127.0.0.1:{taken.getsockname()[1]}"},
                    "logging": {"levle": 1},
                }
            )
            found = examined(stack)
        finally:
            stack.server_config.write_text(before)
    assert "logging.levle" in found["configuration"]["text"]
    assert "in use" in found["management"]["text"]
    assert found["publish"]["status"] == "skipped"
    done = stack.server.command("doctor", "--config", str(stack.server_config), "--gun", "a/../b")
    assert done.returncode == 2
    assert "--gun" in done.stderr
