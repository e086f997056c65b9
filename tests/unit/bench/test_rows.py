"""The table of rows, and how results are told."""

from __future__ import annotations

from bench import report
from bench.figures import Cpu, Figures
from bench.goals import Times
from bench.rows import ROWS, Row
from bench.turns import Result


def _row(*goals: Times) -> Row:
    return Row("x", "a | b", "requests/s", lambda _side, _seconds: Figures(0), goals, ("ours", "notary"))


def test_names_are_unique_and_every_row_has_a_goal_for_ours() -> None:
    """`--only NAME` means one row, and ours is the first side of each."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(row.goals and row.sides[0] == "ours" for row in ROWS)


def test_the_document_tells_ratios_and_figures() -> None:
    """A row of goals and one of figures for each side; a bar in a title does not break the table."""
    rounds = {
        "ours": [Figures(1234.4, 1, 2, Cpu(0.5, 0, 0), 80, {"200": 4000})],
        "notary": [Figures(100, 3, 4)],
    }
    text = report.document({"Cores": "2"}, [Result(_row(Times(12), Times(13)), rounds)], 3, 1)
    assert "- Cores: 2\n" in text
    assert "- Goals: 1 reached, 1 not reached, 0 not judged\n" in text
    assert "| a \\| b | requests/s | 1,234 | 12.34x notary | >= 12x | yes |\n" in text
    assert "| a \\| b | requests/s | 1,234 | 12.34x notary | >= 13x | **no** |\n" in text
    assert "| x | ours | 1,234 | 1.00 | 2.00 | 0.500 | 0.000 | 0.000 | 80 | 200: 4,000 |\n" in text
    assert "went wrong" not in text


def test_a_failed_side_is_never_silent() -> None:
    """Its goal is not judged, its figures are marked, its problem stands in the document and on the screen."""
    rounds = {
        "ours": [Figures(7, statuses={"200": 6, "4xx/5xx": 1}, problems=("1 x 4xx/5xx",))],
        "notary": [Figures(1)],
    }
    result = Result(_row(Times(2)), rounds)
    text = report.document({}, [result], 3, 1)
    assert "| - | >= 2x | ? |" in text
    assert "| 7 **failed** |" in text
    assert "- x, ours: 1 x 4xx/5xx\n" in text
    assert "ours FAILED: 1 x 4xx/5xx" in report.line(result)
