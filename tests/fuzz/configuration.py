"""Configuration files: any text is a configuration or a list of problems."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from notary_common.config import ConfigError
from notary_server import config as server_config
from notary_signer import config as signer_config

from .bending import AWKWARD, bent

SERVER = {
    "server": {"http_addr": ":4443"},
    "trust_service": {"type": "local", "key_algorithm": "ecdsa"},
    "storage": {"backend": "sqlite3", "db_url": "server.db"},
    "caching": {"max_age": {"current_metadata": 300, "consistent_metadata": 31536000}},
    "repositories": {"gun_prefixes": ["registry.example/"]},
    "limits": {"max_upload_bytes": 104857600, "publish_wait": 10.5, "client_writes": 0},
    "audit": {"file": "audit.log", "max_bytes": 1000000},
    "logging": {"level": "info"},
}
SIGNER = {
    "server": {"http_addr": "unix:///run/signer.sock"},
    "storage": {"backend": "mysql", "db_url": "signer:pass@tcp(db:3306)/signer?parseTime=True"},
    "pkcs11": {"token_label": "notary", "pin_file": "pin"},
    "limits": {"request_timeout": 30},
}
YAML = b"server:\n  http_addr: ':4443'\nstorage: {backend: memory}\ntrust_service: &x {type: local}\nlogging: {level: info}\n"
TOML = b'[server]\nhttp_addr = ":4443"\n[storage]\nbackend = "memory"\n[trust_service]\ntype = "local"\n'
GOOD = {"server.json": json.dumps(SERVER).encode(), "signer.json": json.dumps(SIGNER).encode(), "server.yaml": YAML, "server.toml": TOML}  # fmt: skip
PIECES = (*AWKWARD, b"*x", b"&x", b"<<: *x", b"!!python/object/apply:os.system ['false']", b"!!binary x", b"true", b"[]", b"{}", b"1e400", b"0x10", b"\t", b": ", b"'", b'""""""', b"2001-01-01")  # fmt: skip


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def files(data: st.DataObject) -> bool:
    """A bent file of either daemon, in any of the three notations: accepted, or problems that name their keys."""
    name = data.draw(st.sampled_from(sorted(GOOD)))
    path = Path(_folder().name) / name
    path.write_bytes(bent(data, GOOD[name], PIECES))
    load = signer_config.load if name.startswith("signer") else server_config.load
    return not _problems(load, path, {})


def environment(data: st.DataObject) -> bool:
    """Any variables with the prefix, over a good file."""
    path = Path(_folder().name) / "good.json"
    path.write_bytes(GOOD["server.json"])
    keys = (
        "SERVER_HTTP_ADDR",
        "LIMITS_MAX_PARTS",
        "STORAGE_DB_URL",
        "REPOSITORIES_GUN_PREFIXES",
        "AUDIT_FILE",
        "X",
    )
    values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
    drawn = data.draw(st.dictionaries(st.sampled_from(keys), values, max_size=3))
    variables = {f"NOTARY_SERVER_{key}": value for key, value in drawn.items()}
    return not _problems(server_config.load, path, variables)


def _problems(
    load: Callable[[Path, Mapping[str, str]], object], path: Path, environ: Mapping[str, str]
) -> list[str]:
    """What is wrong with a configuration; each problem is one short line."""
    try:
        load(path, environ)
    except ConfigError as error:
        found = error.problems
    else:
        return []
    assert found
    assert all(0 < len(problem) < 2000 and "\n" not in problem for problem in found), found
    return found
