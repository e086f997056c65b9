"""What `make bench-signer` shows of its figures."""

from __future__ import annotations

from bench.figures import Cpu, Figures
from bench.signer import ROWS, Row, table


def test_each_signer_stands_beside_as_many_processes_of_the_token_alone() -> None:
    """The share is taken round by round; a row that failed says so."""
    measured = {row: [Figures(1000.0 * row.processes), Figures(2000.0 * row.processes)] for row in ROWS}
    slow = Figures(100.0, 5.0, 9.0, Cpu(signer=1.25, database=0.5))
    measured[Row(2, 16)] = [slow, Figures(400.0, problems=("the signer: it did not answer in time",))]
    text = table(measured)
    assert "| token alone, 1 process | 1500 |  |" in text
    assert "| 1 signer, 1 caller | 1500 | 100.0% |" in text
    assert "| 2 signers, 16 callers | 100 | 5.0% | 5.00 | 9.00 | 1.25 | 0.50 |" in text
    assert "2 signers, 16 callers FAILED: the signer: it did not answer in time" in text
