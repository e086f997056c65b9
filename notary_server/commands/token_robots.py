"""`notary-server tokens robot`: machines that may ask for tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from notary_common.command import config_option, inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..tokens.robots import Robot

Result = TypeVar("Result")
MAX_DAYS = 3650


@click.group()
def robot() -> None:
    """Machines that may ask for tokens, each with a secret of its own.

    The service takes up changes by itself.

    \b
    Example:
      notary-server tokens robot create ci --gun-prefix registry.example.org/team/ --action push --config tokens-config.json
      notary-server tokens robot revoke ci --config tokens-config.json
    """


@robot.command()
@config_option("tokens-config.json")
@click.argument("name")
@click.option(
    "--gun-prefix",
    "repositories",
    metavar="GUN",
    multiple=True,
    required=True,
    help="Repositories it may use: a whole GUN, or one that ends in a slash for all below. May be given again.",
)
@click.option(
    "--action",
    "actions",
    type=click.Choice(["pull", "push", "sign", "admin", "catalog"]),
    multiple=True,
    required=True,
    help="What it may do there. May be given again.",
)
@click.option(
    "--expires-in",
    "days",
    metavar="DAYS",
    type=click.IntRange(1, MAX_DAYS),
    help="When its secret ends. By default never.",
)
def create(
    config_file: Path, name: str, repositories: tuple[str, ...], actions: tuple[str, ...], days: int | None
) -> None:
    """Make the robot NAME and write its secret to standard output, this once.

    \b
    Example:
      notary-server tokens robot create ci --gun-prefix registry.example.org/team/ --action pull --action push \\
        --expires-in 90 --config tokens-config.json
    """
    path = _robots_file(config_file)
    _check(name, repositories)

    def make() -> str:
        from ..tokens.files import FileProblem, alone  # noqa: PLC0415
        from ..tokens.robots import load_robots, new_robot, store_robots  # noqa: PLC0415

        with alone(path.parent):
            known = load_robots(path).by_name
            if name in known:
                raise FileProblem(path, [f"the robot {name} exists; revoke it first, or choose another name"])
            created = datetime.now(UTC).replace(microsecond=0)
            expires = created + timedelta(days=days) if days is not None else None
            made, secret = new_robot(name, repositories, actions, created, expires)
            store_robots(path, [*known.values(), made])
        return secret

    secret = _or_stop(make)
    click.echo(secret)
    click.echo(f"made the robot {name}; its secret stands above and is not kept anywhere", err=True)
    click.echo(f"next: docker login -u {name} --password-stdin REGISTRY", err=True)


@robot.command("list")
@config_option("tokens-config.json")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_robots(config_file: Path, as_json: bool) -> None:
    """List the robots and what they may do.

    \b
    Example:
      notary-server tokens robot list --config tokens-config.json
    """
    from ..tokens.robots import load_robots  # noqa: PLC0415

    path = _robots_file(config_file)
    robots = _or_stop(lambda: load_robots(path)).by_name.values()
    if as_json:
        click.echo(json.dumps([_row(one) for one in robots], indent=2))
        return
    for one in robots:
        state = "never expires"
        if one.expires is not None:
            state = (
                f"{'expired' if one.expires <= datetime.now(UTC) else 'expires'} {one.expires.isoformat()}"
            )
        click.echo(f"{one.name}  {','.join(one.actions)}  {' '.join(one.repositories)}  {state}")


@robot.command()
@config_option("tokens-config.json")
@click.argument("name")
def revoke(config_file: Path, name: str) -> None:
    """Remove the robot NAME. Tokens that it has end by themselves within minutes.

    \b
    Example:
      notary-server tokens robot revoke ci --config tokens-config.json
    """
    path = _robots_file(config_file)

    def take() -> None:
        from ..tokens.files import FileProblem, alone  # noqa: PLC0415
        from ..tokens.robots import load_robots, store_robots  # noqa: PLC0415

        with alone(path.parent):
            known = load_robots(path).by_name
            if name not in known:
                raise FileProblem(path, [f"there is no robot {name}; see: {PROGRAM} tokens robot list"])
            store_robots(path, [one for one in known.values() if one.name != name])

    _or_stop(take)
    click.echo(f"revoked the robot {name}")


def _check(name: str, repositories: tuple[str, ...]) -> None:
    from ..tokens.access import OIDC_USER  # noqa: PLC0415
    from ..tokens.grants import pattern_problem  # noqa: PLC0415
    from ..tokens.robots import ROBOT_NAME  # noqa: PLC0415

    problems = []
    if ROBOT_NAME.fullmatch(name) is None:
        problems.append(
            "NAME: write up to 63 small letters, digits, - and _, beginning with a letter or digit"
        )
    if name == OIDC_USER:
        problems.append(f"NAME: {OIDC_USER} stands for identity tokens; choose another")
    problems += [
        f"--gun-prefix {pattern}: {problem}; write a whole GUN, or one that ends in a slash"
        for pattern in repositories
        if (problem := pattern_problem(pattern)) is not None
    ]
    if problems:
        stop(PROGRAM, "no robot was made:", problems)


def _row(one: Robot) -> dict[str, object]:
    return {
        "name": one.name,
        "repositories": list(one.repositories),
        "actions": list(one.actions),
        "created": one.created.isoformat(),
        "expires": None if one.expires is None else one.expires.isoformat(),
    }


def _robots_file(config_file: Path) -> Path:
    """The file of robots; of the configuration, only its name has to be good."""
    from ..tokens.config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key == "people.robots_file"]
    path = reading.draft.people.robots_file
    if path is None:
        refuse(
            PROGRAM, config_file, problems or ["people.robots_file: is missing; name a file for the robots"]
        )
    return path


def _or_stop(act: Callable[[], Result]) -> Result:
    from ..tokens.files import FileProblem  # noqa: PLC0415

    try:
        return act()
    except FileProblem as problem:
        stop(PROGRAM, "nothing was changed:", problem.problems)
