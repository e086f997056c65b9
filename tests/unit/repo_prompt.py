"""`notary-server repo` at the prompt, over an empty database in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notary_common import migrate
from notary_common.database import parse_url
from notary_server.cli import main


def run(*words: str) -> Result:
    """`notary-server repo` with `words`."""
    return CliRunner().invoke(main, ["repo", *words], prog_name="notary-server")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A server over an empty SQLite database."""
    migrate.upgrade(parse_url("sqlite3", "new.db", tmp_path), "server", lambda _: None)
    path = tmp_path / "server.json"
    path.write_text(
        json.dumps(
            {
                "server": {"http_addr": ":4443"},
                "trust_service": {"type": "local"},
                "storage": {"backend": "sqlite3", "db_url": "new.db"},
            }
        )
    )
    return str(path)
