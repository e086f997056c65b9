"""docker-compose.yml and what it mounts: consistent, hardened, and without a secret. The engine itself is tried by hand."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from deploy.compose import init
from notary_server import config as server_config
from notary_signer import config as signer_config

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("notary-trust-")}
each_service = pytest.mark.parametrize("name", SERVICES)
TLS = "/etc/notary/tls/"


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where each volume or file of the project is in the container."""
    return {target: source for source, target, *_ in (one.split(":") for one in service.get("volumes", []))}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that the first job makes; whose it is cannot be tested without root."""
    monkeypatch.setattr(shutil, "chown", lambda *_: None)
    init.make(tmp_path, ["localhost", "127.0.0.1"])
    return tmp_path


@each_service
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    """Nothing but the first job, which has no network, may do what an ordinary user may not."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "devices", "pid", "ipc", "userns_mode"}
    assert {"mem_limit", "pids_limit", "logging"} <= service.keys()
    if name == "init":
        assert service["network_mode"] == "none"
    else:
        assert "cap_add" not in service
        assert name in OURS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert all(
        source.startswith("./deploy") or source in COMPOSE["volumes"] for source in mounts(service).values()
    )


@each_service
def test_an_image_is_pinned(name: str) -> None:
    """By a version that says what is meant."""
    assert re.search(r":v?\d+(\.\d+)*(-\w+)?$", SERVICES[name]["image"])


def test_only_this_machine_reaches_a_port() -> None:
    """Unless somebody says otherwise: whoever reaches the proxy may publish."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith(("127.0.0.1:", "${NOTARY_ADDRESS:-127.0.0.1}:")) for port in published)
    assert {name for name, network in COMPOSE["networks"].items() if not (network or {}).get("internal")} == {
        "clients"
    }
    # Neither keys nor metadata can be reached but through what belongs in front of them.
    assert {name for name, one in SERVICES.items() if "data" in one.get("networks", [])} == {
        "database", "migrate-server", "migrate-signer", "init-token", "signer", "server-1", "server-2",
    }  # fmt: skip


def test_what_is_waited_for_is_there() -> None:
    """Every dependency is a service; a job is waited for until its end."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            job = SERVICES[name]["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if job else "service_healthy")


@pytest.mark.parametrize(
    ("file", "inspect"),
    [("server-config.json", server_config.inspect), ("signer-config.json", signer_config.inspect)],
)
def test_a_configuration_is_taken_and_names_files_that_are_made(file: str, inspect: Any, made: Path) -> None:
    """With the program's own reader; every file below the volume is one that the first job puts there."""
    service = file.partition("-")[0]
    text = (ROOT / "deploy" / "compose" / file).read_text()
    named = set(re.findall(rf"{TLS}([\w.-]+)", text))
    assert named
    assert named <= {path.name for path in (made / service).iterdir()}
    moved = made / file
    moved.write_text(text.replace(TLS, f"{made}/{service}/"))
    reading = inspect(moved, {})
    wrong = [problem for problem in reading.problems if problem.key != "pkcs11.module"]
    assert wrong == []
    assert reading.draft.management.http_addr.port == 8081
    volumes = [mounts(one) for one in OURS.values() if f"/etc/notary/{file}" in mounts(one)]
    assert volumes
    assert {one[TLS.rstrip("/")] for one in volumes} == {f"{service}-files"}


def test_the_first_job_makes_what_is_missing_and_nothing_else(made: Path) -> None:
    """Keys are their owner's alone; what is good stays; a new name of the proxy renews only its certificate."""
    files = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert init.make(made, ["localhost", "127.0.0.1"]) == []
    assert {path: path.read_bytes() for path in files} == files
    for path, data in files.items():
        private = b"PRIVATE KEY" in data or path.name == "pin"
        assert not private or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not [path for path in files if path.name == "ca-key.pem" and path.parent.name != "authority"]
    assert init.make(made, ["trust.example.org"]) == ["Made the certificate proxy of proxy."]
    changed = {path for path, data in files.items() if path.read_bytes() != data}
    assert {path.parent.name for path in changed} == {"authority", "proxy"}


def test_postgresql_believes_the_certificates_that_are_made(made: Path) -> None:
    """The common name of a client's certificate is its user, who owns its database and sees no other."""
    sql = (ROOT / "deploy" / "database" / "database.sql").read_text()
    rules = (ROOT / "deploy" / "database" / "pg_hba.conf").read_text()
    for service in ("server", "signer"):
        data = (made / service / "database-client.pem").read_bytes()
        (name,) = x509.load_pem_x509_certificate(data).subject.get_attributes_for_oid(
            x509.NameOID.COMMON_NAME
        )
        assert name.value == f"notary_{service}"
        assert f"CREATE ROLE {name.value} LOGIN;" in sql
        assert re.search(rf"^hostssl\s+notary{service}\s+{name.value}\s+all\s+cert$", rules, re.MULTILINE)
        document = json.loads((ROOT / "deploy" / "compose" / f"{service}-config.json").read_text())
        assert document["storage"]["db_url"].startswith(
            f"postgres://{name.value}@database:5432/notary{service}?"
        )
    assert not re.search(r"^host\s+all|0\.0\.0\.0|password|md5", rules, re.MULTILINE)


def test_the_proxy_and_prometheus_know_the_services() -> None:
    """Their names and ports."""
    proxy = (ROOT / "deploy" / "compose" / "haproxy.cfg").read_text()
    servers = {name for name in SERVICES if re.fullmatch(r"server-\d+", name)}
    assert set(re.findall(r"^    server (\S+) \1:4443 verifyhost \1$", proxy, re.MULTILINE)) == servers
    scraped = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for one in job["static_configs"] for target in one["targets"]}
    assert targets == {f"{name}:8081" for name in {*servers, "signer"}}
