"""kill -9 of every process at every step of a publish over PostgreSQL: it is wholly stored, or not at all.

The table says for every step and victim what the client reads and what is stored afterwards. Then all that was killed
runs again (nothing else is restarted), and publishing goes on.
"""

from __future__ import annotations

import pytest

from .repository import Repository
from .rig import Rig, eventually
from .sending import Sending
from .steps import Obstacle, answer, commit, half_body, insert_into, signer_call

pytestmark = pytest.mark.faults

STEPS: dict[str, Obstacle] = {
    "body": half_body,
    "describe keys": signer_call("describe", "before"),
    "sign snapshot": signer_call("snapshot", "before"),
    "snapshot signed": signer_call("snapshot", "after"),
    "sign timestamp": signer_call("timestamp", "before"),
    "timestamp signed": signer_call("timestamp", "after"),
    "insert files": insert_into("tuf_files"),
    "insert change": insert_into("changefeed"),
    "commit": commit,
    "answer": answer,
}

NOTHING, OK, UNAVAILABLE = 0, 200, 503
STORED, NOT_STORED = 1, 0

# (step, victim): the statuses that the client may read, and whether the publish is stored.
CASES: dict[tuple[str, str], tuple[set[int], int]] = {
    ("body", "server"): ({NOTHING}, NOT_STORED),
    ("describe keys", "server"): ({NOTHING}, NOT_STORED),
    ("sign snapshot", "server"): ({NOTHING}, NOT_STORED),
    ("sign timestamp", "server"): ({NOTHING}, NOT_STORED),
    ("timestamp signed", "server"): ({NOTHING}, NOT_STORED),
    ("insert files", "server"): ({NOTHING}, NOT_STORED),
    ("insert change", "server"): ({NOTHING}, NOT_STORED),
    ("commit", "server"): ({NOTHING}, STORED),
    ("answer", "server"): ({NOTHING, OK}, STORED),
    ("body", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("describe keys", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("sign snapshot", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("snapshot signed", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("sign timestamp", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("timestamp signed", "signer"): ({UNAVAILABLE}, NOT_STORED),
    ("insert files", "signer"): ({OK}, STORED),
    ("insert change", "signer"): ({OK}, STORED),
    ("commit", "signer"): ({OK}, STORED),
    ("body", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("describe keys", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("sign snapshot", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("sign timestamp", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("timestamp signed", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("insert files", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("insert change", "postgres"): ({UNAVAILABLE}, NOT_STORED),
    ("commit", "postgres"): ({UNAVAILABLE}, STORED),  # nobody can know whether it is: try again
    ("answer", "postgres"): ({OK, UNAVAILABLE}, STORED),
    ("body", "client"): ({NOTHING}, NOT_STORED),
    ("describe keys", "client"): ({NOTHING}, STORED),
    ("snapshot signed", "client"): ({NOTHING}, STORED),
    ("timestamp signed", "client"): ({NOTHING}, STORED),
    ("insert files", "client"): ({NOTHING}, STORED),
    ("insert change", "client"): ({NOTHING}, STORED),
    ("commit", "client"): ({NOTHING}, STORED),
    ("answer", "client"): ({NOTHING}, STORED),
}


@pytest.mark.parametrize(("step", "victim"), CASES, ids=lambda word: word.replace(" ", "_"))
def test_a_publish_is_stored_whole_or_not_at_all(rig: Rig, step: str, victim: str) -> None:
    """A publish to a repository that exists."""
    _interrupt(rig, rig.repository(publishes=1), 1, step, victim)


FIRST = [("insert change", "server"), ("commit", "server")]


@pytest.mark.parametrize(("step", "victim"), FIRST, ids=lambda word: word.replace(" ", "_"))
def test_a_repository_is_begun_whole_or_not_at_all(rig: Rig, step: str, victim: str) -> None:
    """The very first publish of a repository, while nothing of it is stored."""
    _interrupt(rig, Repository(rig.client), 0, step, victim)


def _interrupt(rig: Rig, repository: Repository, before: int, step: str, victim: str) -> None:
    statuses, stored = CASES[step, victim]
    files = repository.files(before + 1)
    if step == "describe keys":
        # A server asks about a key once; one that has just begun knows none.
        rig.kill("server")
        rig.revive()
    try:
        with STEPS[step](rig, repository) as stop, Sending(rig.stack, repository.gun, files) as sending:
            stop.send(sending)
            stop.wait()
            if victim == "client":
                sending.hang_up()
            else:
                rig.kill(victim)
            stop.release(sending, victim)
            reply = sending.reply()
    finally:
        rig.revive()
    assert reply.status in statuses, str(reply)
    if reply.status == UNAVAILABLE:
        assert (reply.code, reply.headers["retry-after"]) == ("UNAVAILABLE", "5")
    after = before + stored
    # What a dead server or client has left behind may still be under way in PostgreSQL or in the server.
    eventually(
        lambda: _settled(rig) and rig.tables.publishes(repository.gun) == after, f"{after} publishes stored"
    )
    assert repository.problems(after) == []
    again = rig.client.publish(repository.gun, files)
    if stored:
        assert (again.status, again.code, again.name) == (400, "VERSION", "ErrValidation")
        assert "is published already" in again.error["detail"]["Error"]["Msg"]
    else:
        assert again.status == 200, str(again)
    following = repository.publish(before + 2)
    assert following.status == 200, str(following)
    assert rig.tables.publishes(repository.gun) == before + 2
    assert repository.problems(before + 2) == []


def _settled(rig: Rig) -> bool:
    """Whether no transaction is under way in the server's database but the one that asks."""
    return rig.tables.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ) == [["0"]]
