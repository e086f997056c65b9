"""Every certificate of a running server and signer is replaced, again and again, and no request fails."""

from __future__ import annotations

import os
import signal
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.pki import LOCAL_NAMES

from .fleet import GENERATIONS, Fleet, eventually, loads, not_after

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Running, with the first generation of certificates."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Fleet(tmp_path_factory.mktemp("fleet"), monkeypatch)
        try:
            made.start()
            yield made
        finally:
            made.close()


def test_five_generations_under_load(fleet: Fleet) -> None:
    """Listeners, clients, PostgreSQL and their authorities, one generation after the other: first both are believed,
    then the new one's certificates shown, then the old one is no longer believed."""
    workers = _workers(fleet)
    with loads(fleet.client) as running:
        for new in range(1, GENERATIONS):
            old = new - 1
            counts = [load.answered for load in running]
            for issuer, believed in ((old, (old, new)), (new, (old, new)), (new, (new,))):
                fleet.issue(issuer, believed)
                eventually(fleet.taken, f"everybody has the certificates of CA {issuer}, believes {believed}")
            eventually(
                lambda counts=counts: all(  # type: ignore[misc]
                    load.answered > count + 3 for load, count in zip(running, counts, strict=True)
                ),
                "everybody is answered",
            )
    assert _workers(fleet) == workers
    assert "refused" not in fleet.stack.server_log + fleet.stack.signer_log
    # As it was on the oldest worker's latest new connection.
    assert fleet.metric("certificate_not_after_seconds", "signer") > time.time()
    ends = [
        fleet.metric("certificate_not_after_seconds", f"{use}_ca") for use in ("client", "signer", "database")
    ]
    assert ends == [not_after(fleet.authorities[-1].files)] * 3


def test_the_signer_tells_its_expiries(fleet: Fleet) -> None:
    """As the server does, to a client that may ask."""
    shown = fleet.shown["signer_client"]
    context = ssl.create_default_context(cafile=str(fleet.stack.ca_file))
    context.load_cert_chain(shown.certificate, shown.key)
    address = f"https://localhost:{fleet.stack.signer_port}/v1/metrics"
    with urllib.request.urlopen(address, context=context, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    for use, pair in (("listener", "signer"), ("database_client", "database_client")):
        (found,) = [
            line
            for line in lines
            if line.startswith(f'notary_signer_certificate_not_after_seconds{{use="{use}"')
        ]
        assert float(found.rpartition(" ")[2]) == not_after(fleet.shown[pair])
    assert 'notary_signer_certificate_reload_failed{use="listener"} 0.0' in lines


def test_a_worker_that_is_replaced_shows_the_certificate_of_today(fleet: Fleet) -> None:
    """The master, which never accepts a connection, has renewed its own."""
    (victim, _) = sorted(_workers(fleet))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in _workers(fleet) and len(_workers(fleet)) == 2, "it is replaced")
    for _ in range(20):
        assert fleet.sees(fleet.stack.port, "listener")


Spoil = Callable[[Fleet, str], None]


def _mismatched(fleet: Fleet, part: str) -> None:
    _put(fleet, part, key=fleet.shown["signer_client"].key.read_bytes())


def _garbage(fleet: Fleet, part: str) -> None:
    _put(fleet, part, certificate=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def _half(fleet: Fleet, part: str) -> None:
    _put(fleet, part, certificate=fleet.shown[part].certificate.read_bytes()[:300])


def _expired(fleet: Fleet, part: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("deploy.local.pki.LIFETIME", timedelta(seconds=-1))
        pair = fleet.authorities[fleet.generation].issue("expired", LOCAL_NAMES)
    _put(fleet, part, pair.certificate.read_bytes(), pair.key.read_bytes())


def _put(fleet: Fleet, part: str, certificate: bytes | None = None, key: bytes | None = None) -> None:
    shown, mount = fleet.shown[part], fleet.mounts[part]
    mount.put(
        certificate or shown.certificate.read_bytes(),
        key or shown.key.read_bytes(),
        mount.authorities.read_bytes(),
    )


@pytest.mark.parametrize("spoils", [(_mismatched, _garbage), (_half, _expired)])
def test_bad_files_change_nothing(fleet: Fleet, spoils: tuple[Spoil, Spoil]) -> None:
    """The old certificate is shown, the gauge and the log of both daemons say so; good files are taken afterwards."""
    said = {daemon: daemon.log.stat().st_size for daemon in (fleet.stack.server, fleet.stack.signer)}
    with loads(fleet.client):
        for part, spoil in zip(("listener", "signer"), spoils, strict=True):
            spoil(fleet, part)
        eventually(lambda: fleet.metric("certificate_reload_failed", "listener") == 1, "the gauge says so")
        for daemon, length in said.items():
            eventually(
                lambda daemon=daemon, length=length: (  # type: ignore[misc]
                    "new certificates are refused" in _text(daemon.log)[length:]
                ),
                "the log says so",
            )
            assert "PRIVATE KEY" not in _text(daemon.log)[length:]
        assert fleet.sees(fleet.stack.port, "listener")
        assert fleet.sees(fleet.stack.signer_port, "signer")
        assert fleet.client.get("/_notary_server/health").status == 200
        fleet.issue(fleet.generation, (fleet.generation,))
        eventually(fleet.taken, "what is good again is taken")
        eventually(lambda: fleet.metric("certificate_reload_failed", "listener") == 0, "the gauge falls")


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def _workers(fleet: Fleet) -> set[int]:
    pid = fleet.stack.server.pid
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
