"""docs/reference/commands.md, made from the code: `python -m tests.unit.common.command_reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from notary_server.cli import main as server
from notary_signer.cli import main as signer

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
PROGRAMS: dict[str, click.Command] = {"notary-server": server, "notary-signer": signer}
_HEAD = """\
# Commands

What `--help` says, of every command. Status 0: done; 1: refused, or something was found; 2: wrong use. `notary-server -config=FILE -logf=json`,
as Notary spelled it, means `notary-server serve --config FILE --logf json`; so for `notary-signer`.
"""


def commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The command and all below it that are shown, with what to type for each."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from commands(f"{path} {name}", command.commands[name])


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for program, command in PROGRAMS.items():
        parts += [_section(*found) for found in commands(program, command)]
    return "\n".join(parts)


def example(command: click.Command) -> str:
    """The lines under `Example:` in the help of a command, empty if there are none."""
    _, _, lines = _help(command).partition("Example:\n")
    return inspect.cleandoc(lines)


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


def _section(path: str, command: click.Command) -> str:
    text = _help(command).partition("Example:\n")[0].strip()
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * min(1 + len(path.split()), 4)} {path}", "", text, "", f"    {usage}", ""]
    options = [record for one in command.params if (record := one.get_help_record(context)) is not None]
    if options:
        lines += ["| Option | What it does |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in options]
        lines.append("")
    if shown := example(command):
        lines += ["Example:", "", *(f"    {line}" for line in shown.splitlines()), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(page())
