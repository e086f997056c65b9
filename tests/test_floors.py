"""Who may import whom: read from the source, so that an import inside a function counts too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = ("notary_common", "notary_server", "notary_signer", "notary_migrations")
IMPURE = frozenset({"asyncio", "logging", "os", "time", "ssl", "socket"})
"""What a pure room must not touch of the standard library."""


@dataclass(frozen=True)
class Room:
    """What the modules below `name` may import.

    Attributes:
        project: modules of this project, besides the room itself; what lies below them is included.
        foreign: packages besides the standard library; None: any.
        forbidden: what they may not import whatever else is said.
    """

    name: str
    project: tuple[str, ...]
    foreign: frozenset[str] | None = None
    forbidden: frozenset[str] = frozenset()


def _pure(name: str, *project: str) -> Room:
    return Room(name, project, frozenset({"msgspec", "cryptography"}), IMPURE)


def _server(*rooms: str) -> tuple[str, ...]:
    return tuple(f"notary_server.{room}" for room in rooms)


def _signer(*rooms: str) -> tuple[str, ...]:
    return tuple(f"notary_signer.{room}" for room in rooms)


ROOMS = (
    _pure("notary_server.tuf", "notary_server.errors"),
    Room(
        "notary_server.tuf10",
        ("notary_server.tuf", "notary_server.errors", "notary_common.tuf_keys", "notary_common.wire"),
        frozenset({"msgspec", "cryptography", "tuf", "securesystemslib"}),
        IMPURE,
    ),
    _pure("notary_server.errors", "notary_server.tuf"),
    Room("notary_server.ports", _server("tuf", "errors"), frozenset()),
    Room(
        "notary_server.operations",
        (*_server("ports", "tuf", "tuf10", "errors", "metrics"), "notary_common.tracing"),
        forbidden=frozenset({"aiohttp", "sqlalchemy", "ssl", "socket"}),
    ),
    Room(
        "notary_server.storage",
        (*_server("ports", "tuf", "tuf10", "errors", "metrics"), "notary_common"),
        forbidden=frozenset({"aiohttp"}),
    ),
    Room(
        "notary_server.signing",
        (*_server("ports", "tuf", "errors", "metrics"), "notary_common"),
        forbidden=frozenset({"sqlalchemy"}),
    ),
    Room(
        "notary_server.auth.token",
        _server("auth.access", "tuf.names"),
        frozenset({"cryptography", "joserfc"}),
        IMPURE,
    ),
    Room(
        "notary_server.auth",
        (*_server("ports", "tuf", "errors", "metrics"), "notary_common"),
        forbidden=frozenset({"sqlalchemy"}),
    ),
    Room(
        "notary_server.http",
        (*_server("operations", "auth", "errors", "tuf.names", "tuf10.names", "metrics"), "notary_common"),
        forbidden=frozenset({"sqlalchemy"}),
    ),
    Room("notary_server.part_metrics", ()),
    Room("notary_server.metrics", _server("part_metrics")),
    *(
        Room(
            f"notary_server.tokens.{module}",
            _server("tuf.names", "tokens.scopes", "tokens.grants", "tokens.keys", "tokens.files"),
            frozenset({"cryptography", "joserfc"}),
            IMPURE,
        )
        for module in ("scopes", "grants", "workload", "issue")
    ),
    Room(
        "notary_server.tokens",
        (*_server("auth", "tuf.names", "http.accept", "http.forwarded", "http.peer"), "notary_common"),
        forbidden=frozenset({"sqlalchemy"}),
    ),
    _pure("notary_server.inspection.advice", "notary_server.tuf"),
    _pure("notary_server.inspection.chain", "notary_server.tuf"),
    _pure("notary_server.inspection.examine", "notary_server.tuf", "notary_server.inspection.advice"),
    *(
        Room(
            f"notary_server.upkeep.{module}",
            _server("tuf", "tuf10", "storage.chain", "inspection", "upkeep"),
            frozenset({"tuf"}),
            IMPURE,
        )
        for module in ("evidence", "findings", "check", "standard", "prune")
    ),
    Room("notary_server.notify.cloud_events", _server("config.notifications"), frozenset({"msgspec"})),
    _pure("notary_server.notify.rotation", *_server("tuf")),
    _pure("notary_server.notify.backoff"),
    Room(
        "notary_server.notify",
        (*_server("config", "tuf", "storage", "ports", "errors", "metrics"), "notary_common"),
        forbidden=frozenset({"sqlalchemy"}),
    ),
    _pure("notary_server.doctor.checks", "notary_common.table"),
    Room("notary_server.doctor", ("notary_server", "notary_common")),
    _pure("notary_server.expiry.ends", *_server("inspection.examine", "tuf")),
    Room(
        "notary_server.expiry",
        (
            *_server("background", "inspection", "tuf", "tuf10", "storage", "ports", "errors", "metrics"),
            "notary_common",
        ),
        forbidden=frozenset({"aiohttp", "sqlalchemy"}),
    ),
    *(
        Room(
            f"notary_server.archive.{module}",
            (*_server("tuf", "tuf10", "inspection", "archive"), "notary_common.table"),
            frozenset({"msgspec", "tuf"}),
            IMPURE,
        )
        for module in ("format", "merge", "history", "keys", "imported")
    ),
    Room(
        "notary_server.archive",
        (
            *_server(
                "inspection",
                "upkeep",
                "tuf",
                "tuf10",
                "storage",
                "operations",
                "ports",
                "app",
                "config",
                "errors",
            ),
            "notary_common",
        ),
        forbidden=frozenset({"aiohttp"}),
    ),
    Room("notary_server.inspection", (*_server("tuf", "tuf10", "storage"), "notary_common")),
    Room(
        "notary_server.upkeep",
        (
            *_server("inspection", "tuf", "tuf10", "storage", "operations", "app", "config", "errors"),
            "notary_server.repository_report",
            "notary_common",
        ),
    ),
    Room("notary_server", ("notary_server", "notary_common")),
    _pure(
        "notary_signer.policy",
        *_signer("errors", "ports", "encoding", "standard_payload"),
        "notary_common.wire",
    ),
    _pure("notary_signer.standard_payload", "notary_common.wire"),
    _pure("notary_signer.encoding", *_signer("errors"), "notary_common.wire"),
    _pure("notary_signer.clients"),
    _pure("notary_signer.audit.record", *_signer("ports")),
    _pure("notary_signer.audit.check", *_signer("audit.record")),
    Room(
        "notary_signer.audit",
        (*_signer("errors", "ports"), "notary_common"),
        forbidden=frozenset({"aiohttp", "pkcs11"}),
    ),
    Room(
        "notary_signer.token", (*_signer("errors", "ports", "policy", "encoding", "process"), "notary_common")
    ),
    Room(
        "notary_signer.registry",
        (*_signer("errors", "ports", "policy", "encoding"), "notary_common"),
        forbidden=frozenset({"pkcs11"}),
    ),
    Room(
        "notary_signer.http",
        (*_signer("audited", "clients", "operations", "errors", "metrics"), "notary_common"),
        forbidden=frozenset({"pkcs11", "sqlalchemy"}),
    ),
    _pure("notary_signer.takeover.jwe"),
    _pure("notary_signer.takeover.private_half", "notary_common.wire", "notary_signer.encoding"),
    Room(
        "notary_signer.takeover",
        (*_signer("errors", "ports", "encoding", "registry.imports"), "notary_common"),
        forbidden=frozenset({"pkcs11", "aiohttp"}),
    ),
    Room("notary_signer", ("notary_signer", "notary_common")),
    Room("notary_common", ("notary_common", "notary_migrations")),
)
"""The first room that a module lies in counts."""


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def _imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str, str]]:
    """Line, imported module or name, and the statement, of every import in `source`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}", ast.unparse(node)


def _offence(room: Room, target: str) -> str | None:
    """Why a module of `room` may not import `target` (a module, or a name in one); None if it may."""
    top = target.partition(".")[0]
    if top in room.forbidden:
        return f"{room.name} may not use {top}"
    if top in PROJECT:
        # `from .. import config` names the package and then the room.
        allowed = any(_within(target, other) for other in (room.name, *room.project))
        return (
            None
            if allowed
            else f"{room.name} may import of this project only: {', '.join(room.project) or 'nothing'}"
        )
    if room.foreign is not None and top not in room.foreign and top not in sys.stdlib_module_names:
        return f"{room.name} may use only: {', '.join(sorted(room.foreign)) or 'the standard library'}"
    return None


def offences(root: Path) -> list[str]:
    """Every import below `root` that breaks a rule, as `file:line: statement: reason`."""
    found: list[str] = []
    for package in ("notary_common", "notary_server", "notary_signer"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            room = next(room for room in ROOMS if _within(module, room.name))
            for line, target, statement in _imports(path.read_text(), module, is_package):
                reason = _offence(room, target)
                if reason is not None:
                    found.append(f"{path.relative_to(root)}:{line}: {statement}: {reason}")
    return found


def test_every_import_stays_on_its_floor() -> None:
    """No module imports what lies above or beside its floor."""
    found = offences(ROOT)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("notary_server/tuf/bad.py", "import asyncio"),
        ("notary_server/tuf/bad.py", "from os import path"),
        ("notary_server/tuf/bad.py", "from ..ports import Clock"),
        ("notary_server/tuf/deep/bad.py", "from ...config import load"),
        ("notary_server/tuf/bad.py", "import pydantic"),
        ("notary_server/operations/bad.py", "from notary_common import log"),
        ("notary_server/operations/bad.py", "from ..http import routes"),
        ("notary_server/storage/bad.py", "from ..signing import local_signer"),
        ("notary_server/http/bad.py", "from ..tuf.publish import plan"),
        ("notary_server/http/bad.py", "from ..storage.sql_store import SqlStore"),
        ("notary_server/tokens/bad.py", "from ..operations.keys import rotate"),
        ("notary_server/tokens/bad.py", "from ..storage.sql_store import SqlStore"),
        ("notary_server/tokens/bad.py", "from notary_server.signing import remote_signer"),
        ("notary_server/tokens/grants.py", "from .people import People"),
        ("notary_server/operations/bad.py", "from ..tokens.grants import granted"),
        ("notary_server/cli.py", "from notary_signer import config"),
        ("notary_signer/cli.py", "import notary_server.tuf.keys"),
        ("notary_common/bad.py", "from notary_server import errors"),
        ("notary_common/bad.py", "def f():\n    import notary_signer"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str) -> None:
    """The check names the file and line of an import that breaks a rule."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert [offence.split(":")[0] for offence in offences(tmp_path)] == [file]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            "notary_server/tuf/good.py",
            "import hashlib, msgspec\nfrom ..errors import NotaryError\nfrom . import names",
        ),
        ("notary_server/http/good.py", "from ..tuf.names import Gun\nfrom ..operations import publish"),
        ("notary_server/app.py", "from .storage import sql_store\nfrom notary_common import log"),
        ("notary_signer/cli.py", "from .token import worker\nfrom notary_common.tls import TlsError"),
    ],
)
def test_an_allowed_import_is_no_offence(tmp_path: Path, file: str, line: str) -> None:
    """What the rules allow passes."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert offences(tmp_path) == []
