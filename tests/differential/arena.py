"""Plays a case on each server and judges the answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from tests.publisher import Client, Reply

from .case import Case, Side, Stage
from .describe import answer, repository
from .freedoms import FREEDOMS

EMPTY = ["root: answered 404"]
_HEXADECIMAL = re.compile(rb"[0-9a-f]{32,}")
_ROLE = re.compile(r"root|snapshot|targets(/[a-z0-9_-]+)*")
_SHOWN = {"INVALID_UPDATE", "VERSION", "INVALID_GUN"}


def shape_problem(reply: Reply) -> str | None:
    """What is wrong with an error of ours: clients show only small, single, well-shaped ones to people."""
    if reply.status < 400 or reply.status == 405 or not reply.body:
        return None  # 405 and answers to HEAD have no body
    if reply.code is None or not isinstance(reply.error.get("message"), str):
        return f"no Notary error: {reply}"
    if set(reply.error) - {"code", "message", "detail"}:
        return f"unknown members: {reply}"
    if len(reply.body) > 1024:
        return f"clients do not show errors of {len(reply.body)} bytes: {reply}"
    if _HEXADECIMAL.search(reply.body):
        return f"a long hexadecimal string in an error: {reply}"
    if reply.code in _SHOWN:
        detail = reply.error.get("detail")
        error = detail.get("Error") if isinstance(detail, dict) else None
        if not isinstance(error, dict) or not isinstance(error.get("Msg"), str) or not error["Msg"]:
            return f"no text that clients show: {reply}"
    return None


class Arena:
    """Both servers.

    Args:
        clients: for each side, gives the client of a variant.
    """

    def __init__(self, clients: Mapping[Side, Callable[[str], Client]]) -> None:
        self._clients = clients

    def stage(self, side: Side, variant: str, name: str) -> Stage:
        """A fresh repository on one server."""
        gun = f"good/ex/{name[:44]}-{secrets.token_hex(4)}"  # at most 64 characters, as a CN takes no more
        return Stage(side, self._clients[side](variant), gun)

    def judge(self, case: Case) -> None:
        """Play `case` on both servers, the old one first.

        Raises:
            AssertionError: a server does not answer as the case says, or the two disagree.
        """
        told = {side: self._play(case, side) for side in self._clients}
        if case.flaw is None and len(told) == 2 and told["ours"] is not None:
            assert told["ours"] == told["old"], f"{case.name}: the servers disagree"

    def _play(self, case: Case, side: Side) -> dict[str, Any] | None:
        stage = self.stage(side, case.variant, case.name)
        reply = case.play(stage)
        problem = case.wanted(side).problem(reply)
        diverged = side == "ours" and case.freedom is not None and bool(problem)
        if diverged and case.freedom is not None:
            assert FREEDOMS[case.freedom](reply), f"{case.name} on {side}: {problem}"
        else:
            assert problem is None, f"{case.name} on {side}: {problem}"
        if side == "ours":
            assert shape_problem(reply) is None, f"{case.name}: {shape_problem(reply)}"
        told = answer(reply, stage)
        after = repository(stage)
        self._aftermath(case, stage, after)
        return None if diverged else {"answer": told, "repository": after, "notes": stage.notes}

    @staticmethod
    def _aftermath(case: Case, stage: Stage, after: Mapping[str, Any]) -> None:
        where = f"{case.name} on {stage.side}"
        problems = after["problems"]
        if stage.side == "old" and case.old_problems is not None:
            assert any(case.old_problems in one for one in problems), f"{where}: no flaw in {problems}"
        if stage.side == "old" and case.flaw is not None:
            return
        if not case.unclean:
            clean: list[str] = [] if stage.kept else EMPTY
            assert problems == clean, f"{where}: {problems}"
            updates = sum(record[3] == "update" for record in after["changes"].get("records", []))
            assert updates == stage.accepted, f"{where}: {updates} changes, {stage.accepted} acknowledged"
        for role, digest in stage.refused:
            if digest not in stage.kept and _ROLE.fullmatch(role):
                status = stage.read(f"{role}.{digest}.json").status
                assert status == 404, f"{where}: a refused {role} is served"
