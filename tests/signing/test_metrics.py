"""What several workers see of their signers, told as one server's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from notary_server.metrics import forget_worker

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
    }
    forget_worker(tmp_path, 1)
    shown = _worker(tmp_path, 3, "looks")
    assert 'notary_server_signer_circuit_open{signer="a:1"} 0.0' in shown
    assert 'notary_server_signer_failovers_total{signer="a:1"} 2.0' in shown
