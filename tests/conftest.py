"""What holds for every test: nothing is skipped where the whole suite has to run."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.support.logging_restored import logging_restored

__all__ = ["logging_restored"]

_NOTHING_SKIPPED = os.environ.get("CI", "").lower() in {"1", "true"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--old-server` plays the client scenarios against Debian's notary-server: are they true of it, too?"""
    parser.addoption(
        "--old-server", action="store_true", help="play tests/e2e against Debian's notary-server"
    )


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _NOTHING_SKIPPED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{report.nodeid}: with CI=true a test may not be skipped ({reason})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test has failed: a tool that is not there would otherwise go unnoticed."""
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file."""
    report = yield
    _no_skip(report)
    return report
