"""Run targets with so many inputs each, and count them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from . import configuration, publishing, requests, standard, tokens, uploads

Target = Callable[[st.DataObject], bool]
"""Tries one input; whether it was accepted. Raises AssertionError, or what should not have been raised."""

TARGETS: dict[str, Target] = {
    "multipart form": uploads.multipart,
    "media type": uploads.media_types,
    "metadata file": uploads.metadata,
    "publish, bent bytes": publishing.bent_bytes,
    "publish, bent and signed": publishing.bent_and_signed,
    "TUF 1.0 file": standard.files,
    "TUF 1.0, bent bytes": standard.bent_bytes,
    "TUF 1.0, bent and signed": standard.bent_and_signed,
    "request target": requests.targets,
    "plain request": requests.plain,
    "request to a server": requests.whole,
    "token, bent bytes": tokens.bent_bytes,
    "token, bent and signed": tokens.bent_and_signed,
    "keys of tokens": tokens.key_sets,
    "configuration file": configuration.files,
    "environment": configuration.environment,
}
BATCH = 500
"""Inputs of one run of hypothesis, which remembers all of them."""


@dataclass(slots=True)
class Tally:
    """What came of a target."""

    tried: int = 0
    accepted: int = 0
    seconds: float = 0.0


def fuzz(target: Target, inputs: int, first_seed: int, deadline: float = float("inf")) -> Tally:
    """Try so many inputs, or fewer if `deadline` (monotonic) comes first; same seed, same inputs.

    Raises:
        AssertionError, or any other exception: an input broke the invariant; hypothesis shows the smallest one it found.
    """
    tally = Tally()
    began = time.monotonic()
    number = first_seed
    while tally.tried < inputs and time.monotonic() < deadline:
        _batch(target, min(BATCH, inputs - tally.tried), number, tally)
        number += 1
    tally.seconds = time.monotonic() - began
    return tally


def _batch(target: Target, inputs: int, number: int, tally: Tally) -> None:
    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        tally.tried += 1
        tally.accepted += target(data)

    one()
