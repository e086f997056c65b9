"""The tables of docs/reference/configuration.md, made from the code: `python -m tests.unit.common.configuration_tables`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from notary_common.config import Leaf, leaves
from notary_server.config import ENVIRONMENT_PREFIX as SERVER_PREFIX
from notary_server.config import ServerConfig
from notary_server.tokens.config import ENVIRONMENT_PREFIX as TOKENS_PREFIX
from notary_server.tokens.config import TokensConfig
from notary_signer.config import ENVIRONMENT_PREFIX as SIGNER_PREFIX
from notary_signer.config import SignerConfig

from .marked import between, replaced

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
TABLES: dict[str, tuple[type[BaseModel], str]] = {
    "server": (ServerConfig, SERVER_PREFIX),
    "signer": (SignerConfig, SIGNER_PREFIX),
    "token service": (TokensConfig, TOKENS_PREFIX),
}


def table(name: str) -> str:
    """The Markdown table of one daemon's keys."""
    model, prefix = TABLES[name]
    rows = [_row(leaf, prefix) for leaf in leaves(model)]
    return "\n".join(["| Key | Default | Environment | What it is |", "|---|---|---|---|", *rows])


def documented(name: str, text: str) -> str:
    """The table that stands between the markers of `name` in `text`."""
    return between(f"keys of the {name}", text)


def refreshed(text: str) -> str:
    """`text` with all tables as the code has them."""
    return replaced(
        text,
        [f"keys of the {name}" for name in TABLES],
        lambda part: table(part.removeprefix("keys of the ")),
    )


def _row(leaf: Leaf, prefix: str) -> str:
    default = leaf.info.default
    shown = (
        "" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default)
    )
    path = "†" if "Path" in str(leaf.info.annotation) else ""
    return f"| `{leaf.key}`{path} | {shown} | `{leaf.variable(prefix)}` | {leaf.info.description} |"


if __name__ == "__main__":
    REFERENCE.write_text(refreshed(REFERENCE.read_text()))
