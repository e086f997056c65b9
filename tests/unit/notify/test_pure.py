"""What is sent and how it is signed, what a new root changed, and when a delivery is tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.config.notifications import read_secret
from notary_server.notify import backoff
from notary_server.notify.cloud_events import Event, headers, moment, spelled
from notary_server.notify.rotation import rotated

from ..tuf.world import World

EVENT = Event("17", "published", "reg.example/app", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), {"version": 3})


def test_an_event_is_a_cloud_event() -> None:
    """With the members that the specification asks for, and the repository as its subject."""
    assert json.loads(spelled(EVENT, "https://trust.example")) == {
        "specversion": "1.0",
        "id": "17",
        "source": "https://trust.example",
        "type": "org.notary.repository.published",
        "subject": "reg.example/app",
        "time": "2030-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "data": {"gun": "reg.example/app", "version": 3},
    }


def test_a_known_signature() -> None:
    """The example of the Standard Webhooks specification."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    fields = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secret, 1614265330)
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert fields["webhook-timestamp"] == "1614265330"


@given(st.binary(max_size=100), st.binary(min_size=24, max_size=64), st.integers(0, 2**40))
def test_whoever_has_the_secret_verifies(body: bytes, secret: bytes, seconds: int) -> None:
    """By the rule of the documentation, independent of our code."""
    fields = headers("id", body, secret, seconds)
    expected = hmac.new(secret, b"id." + str(seconds).encode() + b"." + body, hashlib.sha256).digest()
    assert fields["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_the_receiver_of_the_documentation_believes_us_and_nobody_else() -> None:
    """Its lines are run as they stand there."""
    page = (Path(__file__).parents[3] / "docs/operations/notifications.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    there: dict[str, Any] = {}
    exec(code[1], there)
    secret = secrets.token_bytes(32)
    written = "whsec_" + base64.b64encode(secret).decode()
    now = int(time.time())
    fields = headers("17", b"{}", secret, now)
    assert there["is_ours"](written, fields, b"{}")
    assert not there["is_ours"](written, fields, b"{ }")
    assert not there["is_ours"](written, headers("17", b"{}", secret[::-1], now), b"{}")
    assert not there["is_ours"](written, headers("17", b"{}", secret, now - 301), b"{}")


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "A" * 400, "whsec_%%%"],
)
def test_what_is_no_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    """The file is named, and what is in it is not."""
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no secret") as refusal:
        read_secret(path)
    assert len(text) < 10 or text not in str(refusal.value)


def test_a_rotated_key_is_told_with_its_role() -> None:
    """Of two roots with the same keys nothing is told, and of what is no root neither."""
    world = World()
    world.first()
    first = world.latest("root")
    body = json.loads(first)
    changed = json.loads(first)
    removed = changed["signed"]["roles"]["timestamp"]["keyids"]
    assert rotated(first, first) == {}
    assert rotated(first, b"{}") == {}
    changed["signed"]["roles"]["targets"]["keyids"] = body["signed"]["roles"]["targets"]["keyids"] + removed
    assert rotated(first, json.dumps(changed).encode()) == {"targets": {"added": removed, "removed": []}}
    assert rotated(json.dumps(changed).encode(), first) == {"targets": {"added": [], "removed": removed}}


@given(st.integers(1, backoff.TRIES), st.floats(0, 1))
def test_waits_grow_and_end(tries: int, spread: float) -> None:
    """Three quarters of it at least, so that a receiver has time; never longer than the longest."""
    wait = backoff.wait(tries, spread)
    assert 0.75 * backoff.FIRST <= wait <= backoff.LONGEST
    assert backoff.wait(tries + 1, spread) >= wait
    total = sum(backoff.wait(number, 0.5) for number in range(1, backoff.TRIES))
    assert 12 * 3600 < total < 36 * 3600


@given(st.integers(-(2**63), 2**63))
def test_every_moment_can_be_told(nanoseconds: int) -> None:
    """Also one beyond the years that Python has."""
    if nanoseconds >= 0:
        assert moment(nanoseconds).year >= 1970
