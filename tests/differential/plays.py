"""The plays that most cases are variations of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.publisher import Part, Publisher, Reply, ecdsa_key

from .case import Play, Stage

Files = Mapping[str, bytes]
Making = Callable[[Publisher], Files]


def first(
    root: Mapping[str, Any] | None = None,
    targets: Mapping[str, Any] | None = None,
    *,
    prepare: Callable[[Publisher], object] | None = None,
    keys: Callable[[], Mapping[str, Any]] = dict,
) -> Play:
    """A first publish of root and targets.

    Args:
        root, targets: knobs of `Publisher.root` and `Publisher.targets`.
        prepare: changes the publisher before it signs.
        keys: makes the arguments of `Publisher`.
    """

    def play(stage: Stage) -> Reply:
        pub = stage.owner(**keys())
        if prepare:
            prepare(pub)
            stage.name_keys(pub)
        return stage.publish({"root": pub.root(**(root or {})), "targets": pub.targets(**(targets or {}))})

    return play


def make(files: Making, *, keys: Callable[[], Mapping[str, Any]] = dict) -> Play:
    """Any first publish."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner(**keys())
        return stage.publish(files(pub))

    return play


def then(files: Making, *, own_snapshot: bool = False) -> Play:
    """An upload to a repository whose first publish was accepted."""

    def play(stage: Stage) -> Reply:
        pub = stage.established(**({"snapshot": ecdsa_key()} if own_snapshot else {}))
        return stage.publish(files(pub))

    return play


def series(*steps: Making, own_snapshot: bool = False) -> Play:
    """Uploads after a first publish, all but the last to be accepted."""

    def play(stage: Stage) -> Reply:
        pub = stage.established(**({"snapshot": ecdsa_key()} if own_snapshot else {}))
        for step in steps[:-1]:
            stage.good(step(pub))
        return stage.publish(steps[-1](pub))

    return play


def request(method: str, rest: str, body: bytes | None = None, *, established: bool = True) -> Play:
    """A request to the repository; `rest` follows `/v2/GUN/`."""

    def play(stage: Stage) -> Reply:
        if established:
            stage.established()
        return stage.client.request(method, f"/v2/{stage.gun}/{rest}", body)

    return play


def plain(
    method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Play:
    """A request that has nothing to do with a repository."""
    return lambda stage: stage.client.request(method, target, body, headers)


def get(name: str) -> Play:
    """GET `tuf/NAME` of an established repository."""

    def play(stage: Stage) -> Reply:
        stage.established()
        return stage.read(name)

    return play


def spelled(parts: Callable[[Files], list[Part] | Files], **spelling: Any) -> Play:
    """A good first publish, put into a form by `parts` and spelled by the knobs of `form`."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        return stage.publish(parts(pub.first()), **spelling)

    return play
