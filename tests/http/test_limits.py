"""What a publisher can act on is answered in the one shape that clients in the field show, whichever limit it is."""

from __future__ import annotations

from typing import Any

import pytest

from notary_server.http.call import Settings
from notary_server.tuf.parse import Limits
from tests.publisher import Publisher
from tests.publisher.files import entry
from tests.publisher.keys import ecdsa_key

from .running import Running


def many_targets(owner: Publisher) -> dict[str, bytes]:
    """Two hundred tags."""
    return {"targets": owner.targets(targets={f"tag{number}": entry(b"x") for number in range(200)})}


def many_keys(owner: Publisher) -> dict[str, bytes]:
    """A root with eleven keys."""
    owner.root_keys += [ecdsa_key() for _ in range(8)]
    return {"root": owner.root(signers=owner.root_keys[:1])}


def many_signatures(owner: Publisher) -> dict[str, bytes]:
    """A file that six keys signed."""
    return {"targets": owner.targets(signers=owner.targets_keys * 6)}


def many_delegations(owner: Publisher) -> dict[str, bytes]:
    """Targets with four delegations."""
    return {"targets": owner.targets(delegates=[f"targets/d{number}" for number in range(4)])}


@pytest.mark.parametrize(
    ("limits", "files", "said"),
    [
        (Limits(max_bytes=9000), many_targets, "larger than 9000 bytes"),
        (Limits(max_values=500), many_targets, "more than 500 values; split it into delegations"),
        (Limits(max_keys=10), many_keys, "more than 10 keys"),
        (Limits(max_signatures=5), many_signatures, "more than 5 signatures"),
        (Limits(max_delegations=3), many_delegations, "more than 3 delegated roles"),
    ],
    ids=["bytes", "values", "keys", "signatures", "delegations"],
)
def test_limits_of_a_file(limits: Limits, files: Any, said: str) -> None:
    """400 with one error, at most 1,024 bytes, a detail that clients turn into text; within the limit it is taken."""
    with Running(limits=limits) as server:
        owner = Publisher("limits/app").learn(server.client)
        good = owner.first()
        reply = server.client.publish("limits/app", good | files(owner))
        assert (reply.status, reply.code) == (400, "INVALID_UPDATE")
        assert reply.name in {"ErrBadRoot", "ErrBadTargets"}
        assert said in reply.error["detail"]["Error"]["Msg"]
        assert len(reply.body) <= 1024
        assert server.client.publish("limits/app", good).status == 200


def test_limits_of_an_upload() -> None:
    """Too many files, too many bytes: in the same shape."""
    with Running(Settings(max_parts=4, max_upload_bytes=20_000)) as server:
        owner = Publisher("limits/app").learn(server.client)
        delegations = {f"targets/d{number}": b"{}" for number in range(4)}
        for files, said in (
            (delegations, "more than 4 files"),
            ({"x": b"y" * 20_000}, "larger than 20000 bytes"),
        ):
            reply = server.client.publish("limits/app", owner.first() | files)
            assert (reply.status, reply.code, reply.name) == (400, "MALFORMED_UPLOAD", "ErrValidation")
            assert said in reply.error["detail"]["Error"]["Msg"]


def test_what_is_stored_is_read_whatever_limits_are_set_now() -> None:
    """An operator who asks for less does not lock up what was published before."""
    with Running() as server:
        owner = Publisher("limits/app").learn(server.client)
        assert server.client.publish("limits/app", owner.first() | many_targets(owner)).status == 200
        object.__setattr__(server.context, "limits", Limits(max_bytes=9000, max_values=500))
        server.clock.forward(20)  # the timestamp is signed anew
        assert server.client.role("limits/app", "timestamp.json").status == 200
        root = {"root": owner.root(2)}
        assert server.client.publish("limits/app", root).status == 200
