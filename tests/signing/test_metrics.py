"""What several workers see of their signers, told as one server's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from notary_server.metrics import Metrics, forget_worker

_WORKER = """
import sys
from pathlib import Path
from notary_server.metrics import SharedMetrics
metrics = SharedMetrics(Path(sys.argv[1]), int(sys.argv[2]))
if sys.argv[3] == "works":
    metrics.signers.circuit("a:1", is_open=sys.argv[2] == "1")
    metrics.signers.call("a:1", "sign", 0.004)
    metrics.signers.failure("a:1", "timeout")
    metrics.signers.failover("a:1")
    metrics.retirement("retired")
    metrics.access_refusal("expired")
    metrics.request("GetRole", "GET", 200, seconds=0.0005, request_bytes=1, response_bytes=2)
    metrics.request("GetRole", "GET", 200, seconds=0.3, request_bytes=1, response_bytes=2)
    metrics.request("GetRole", "GET", 404, seconds=99.0, request_bytes=1, response_bytes=2)
    hits = iter((3, 5, 5, 5))
    metrics.parts.watch("cache_hits", lambda: next(hits))
    metrics.parts.watch("cache_bytes", lambda: 100)
    metrics.flush()
print(metrics.exposition().decode())
"""
"""Of each process, as the library chooses at its first metric where values live."""


def _worker(folder: Path, slot: int, work: str) -> set[str]:
    command = [sys.executable, "-c", _WORKER, str(folder), str(slot), work]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines())


def test_workers_add_up_and_a_circuit_is_open_if_one_says_so(tmp_path: Path) -> None:
    """Counts of all are summed; what held while a worker lived goes with it."""
    _worker(tmp_path, 1, "works")
    shown = _worker(tmp_path, 2, "works")
    assert shown >= {
        'notary_server_signer_seconds_count{operation="sign",signer="a:1"} 2.0',
        'notary_server_signer_seconds_bucket{le="0.005",operation="sign",signer="a:1"} 2.0',
        'notary_server_signer_failures_total{kind="timeout",signer="a:1"} 2.0',
        'notary_server_signer_failovers_total{signer="a:1"} 2.0',
        'notary_server_keys_retired_total{outcome="retired"} 2.0',
        'notary_server_signer_circuit_open{signer="a:1"} 1.0',
        'notary_server_access_refusals_total{reason="expired"} 2.0',
        'notary_server_http_request_seconds_bucket{le="0.001",operation="GetRole"} 2.0',
        'notary_server_http_request_seconds_bucket{le="0.25",operation="GetRole"} 2.0',
        'notary_server_http_request_seconds_bucket{le="0.5",operation="GetRole"} 4.0',
        'notary_server_http_request_seconds_bucket{le="10.0",operation="GetRole"} 4.0',
        'notary_server_http_request_seconds_bucket{le="+Inf",operation="GetRole"} 6.0',
        'notary_server_http_request_seconds_count{operation="GetRole"} 6.0',
        "notary_server_cache_hits_total 10.0",
        "notary_server_cache_bytes 200.0",
    }
    forget_worker(tmp_path, 1)
    shown = _worker(tmp_path, 3, "looks")
    assert 'notary_server_signer_circuit_open{signer="a:1"} 0.0' in shown
    assert 'notary_server_signer_failovers_total{signer="a:1"} 2.0' in shown
    assert {"notary_server_cache_hits_total 10.0", "notary_server_cache_bytes 100.0"} <= shown


def test_one_process_tells_the_same_buckets_as_several() -> None:
    """The two ways to show durations agree, whatever Prometheus adds up."""
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        metrics.request("UpdateTUF", "POST", 200, seconds=seconds, request_bytes=1, response_bytes=2)
    shown = set(metrics.exposition().decode().splitlines())
    name = "notary_server_http_request_seconds"
    for bound, number in (("0.001", 2), ("0.25", 2), ("0.5", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'{name}_bucket{{le="{bound}",operation="UpdateTUF"}} {number}.0' in shown
    assert f'{name}_count{{operation="UpdateTUF"}} 4.0' in shown
    assert f'{name}_sum{{operation="UpdateTUF"}} 99.3015' in shown
