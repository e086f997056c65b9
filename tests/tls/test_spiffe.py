"""Certificates from a Workload API: both daemons and both sides of their connection, renewed and never in a file."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

from notary_common.tls import PemFiles, TlsError
from notary_common.tls.peer_id import make_client_of
from notary_common.tls.spiffe import Svids, open_svids
from notary_server.signing.connection import connect
from tests.publisher import Client
from tests.support.pki import LOCAL_NAMES, Authority, Pair
from tests.support.stack import Stack
from tests.support.workload_api import WorkloadApi

from .fleet import eventually, handshake, loads, metric, not_after

pytestmark = pytest.mark.faults

SERVER = "spiffe://example.org/notary/server"
SIGNER = "spiffe://example.org/notary/signer"


class Spire:
    """What issues SVIDs to the two workloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authorities = [Authority(folder / f"ca{number}", "SPIRE") for number in range(2)]
        self.apis = {SERVER: WorkloadApi(folder / "server.sock"), SIGNER: WorkloadApi(folder / "signer.sock")}
        self.shown: dict[str, Pair] = {}
        self._lives = 1
        self.issue(0, 0)

    def issue(self, issuer: int, *believed: int) -> None:
        """Push new SVIDs of this authority, and a bundle of those."""
        # Each outlives those before, so that the metric of the oldest worker tells when all have it.
        self._lives += 1
        for spiffe_id, api in self.apis.items():
            # SPIRE can add DNS names: for whoever knows nothing of SPIFFE IDs.
            name = spiffe_id.rpartition("/")[2]
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr("deploy.local.pki.LIFETIME", timedelta(hours=self._lives))
                pair = self.authorities[issuer].issue(name, (spiffe_id, *LOCAL_NAMES))
            self.shown[spiffe_id] = pair
            api.push(spiffe_id, pair, *(self.authorities[one] for one in believed))


@pytest.fixture(scope="module")
def spire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spire]:
    """Two Workload APIs at work."""
    made = Spire(tmp_path_factory.mktemp("spire"))
    with made.apis[SERVER], made.apis[SIGNER]:
        yield made


@pytest.fixture(scope="module")
def stack(spire: Spire) -> Iterator[Stack]:
    """Both daemons, with nothing but SVIDs; two workers serve."""
    no_files = {"tls_cert_file": None, "tls_key_file": None}
    sockets = {spiffe_id: str(api.socket) for spiffe_id, api in spire.apis.items()}
    made = Stack(
        spire.folder / "stack",
        server_changes={
            "server": {**no_files, "tls_source": "spiffe", "spiffe_socket": sockets[SERVER]},
            "trust_service": {
                "tls_ca_file": None,
                "tls_client_cert": None,
                "tls_client_key": None,
                "tls_source": "spiffe",
                "spiffe_id": SIGNER,
                # An SVID is not asked for a machine's name.
                "hostname": "127.0.0.1",
            },
        },
        signer_changes={
            "server": {
                **no_files, "client_ca_file": None, "tls_source": "spiffe", "spiffe_socket": sockets[SIGNER],
            }
        },
    )  # fmt: skip
    made.server.options = ("--workers", "2")
    made.ca_file = spire.folder / "everybody.pem"
    made.ca_file.write_bytes(b"".join(one.files.certificate.read_bytes() for one in spire.authorities))
    made.server_client = spire.shown[SERVER]
    with made:
        yield made


def test_svids_are_renewed_under_load(stack: Stack, spire: Spire) -> None:
    """New SVIDs, then a new authority: believed first, then issuing, then alone. No request fails, and the signer is
    asked all the while."""
    client = Client(stack.url, str(stack.ca_file))
    with loads(client) as running:
        for issuer, believed in ((0, (0,)), (0, (0, 1)), (1, (0, 1)), (1, (1,))):
            spire.issue(issuer, *believed)
            counts = [load.answered for load in running]
            eventually(lambda: _taken(stack, spire, client), "everybody shows the new SVIDs")
            eventually(
                lambda counts=counts: all(  # type: ignore[misc]
                    load.answered > count + 3 for load, count in zip(running, counts, strict=True)
                ),
                "everybody is answered",
            )
    assert "refused" not in stack.server_log + stack.signer_log
    assert not any("PRIVATE KEY" in _read(path) for path in stack.folder.glob("*.log"))


def test_without_the_workload_api_service_goes_on(stack: Stack, spire: Spire) -> None:
    """The agent is restarted: the SVIDs in use stay, and the first of the new agent are taken."""
    client = Client(stack.url, str(stack.ca_file))
    with loads(client):
        for api in spire.apis.values():
            api.__exit__(None, None, None)
        spire.issue(1, 1)
        for api in spire.apis.values():
            api.__enter__()
        eventually(lambda: _taken(stack, spire, client), "everybody shows what the new agent gave")


def test_another_workload_is_not_asked(stack: Stack, spire: Spire) -> None:
    """Though its certificate is of the same authorities: the handshake fails in the server's event loop, too."""
    pair = spire.shown[SERVER]
    material = PemFiles(pair.certificate, pair.key, stack.ca_file).read()
    address = f"https://127.0.0.1:{stack.signer_port}"

    async def ask(spiffe_id: str) -> None:
        (await connect(address, make_client_of(spiffe_id, material), None)).close()

    uvloop.run(ask(SIGNER))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        uvloop.run(ask(SIGNER + "/2"))
    assert caught.value.verify_message == f"it is not that of {SIGNER}/2"


async def test_no_identity_is_no_start(tmp_path: Path) -> None:
    """An agent that knows nothing of this workload, and none at all."""
    shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
    with pytest.raises(TlsError, match="cannot be had from unix:"):
        await Svids(tmp_path / "nothing", lambda: None).open()


async def test_material_of_an_svid(spire: Spire) -> None:
    """Certificate, key and bundle come as one, the same at every look."""
    async with open_svids(spire.apis[SIGNER].socket, lambda: None) as svids:
        material = svids.read()
        assert material == svids.read()
        material.check_pair()
        assert material.certificate == spire.shown[SIGNER].certificate.read_bytes()
        assert "PRIVATE" not in repr(material)
        assert list(svids.paths) == []


def _taken(stack: Stack, spire: Spire, client: Client) -> bool:
    end = not_after(spire.shown[SERVER])
    return (
        metric(client, "certificate_not_after_seconds", "listener") == end
        and metric(client, "certificate_not_after_seconds", "signer_client") == end
        and all(
            handshake(port, stack.ca_file, spire.shown[SERVER])
            == ssl.PEM_cert_to_DER_cert(spire.shown[spiffe_id].certificate.read_text())
            for port, spiffe_id in ((stack.port, SERVER), (stack.signer_port, SIGNER))
        )
    )


def _read(path: Path) -> str:
    return path.read_text(errors="replace")
