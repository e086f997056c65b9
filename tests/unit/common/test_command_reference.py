"""docs/reference/commands.md says what `--help` says, and every command says enough."""

from __future__ import annotations

import click
import pytest

from .command_reference import PROGRAMS, REFERENCE, commands, example, page

ALL = [found for program, command in PROGRAMS.items() for found in commands(program, command)]


def test_the_reference_is_what_the_code_says() -> None:
    """Refresh it with `python -m tests.unit.common.command_reference`."""
    assert REFERENCE.read_text() == page()


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_shows_an_example_and_explains_its_options(path: str, command: click.Command) -> None:
    """The example begins with the command itself, or prepares it."""
    assert path in example(command)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name
