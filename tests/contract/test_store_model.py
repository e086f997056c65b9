"""Random histories of commits, deletes and reads agree with a plain dictionary."""

from __future__ import annotations

import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notary_server.errors import HeadMoved
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import BASE_ROLES, TIMESTAMP, Gun, RoleName

from .metadata import publish

ROLES = (*BASE_ROLES, RoleName("targets/a"), RoleName("targets/a/b"))

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(-1, 3), st.booleans(), st.booleans()),
        st.tuples(st.just("stale"), st.integers(1, 3), st.booleans(), st.booleans()),
        st.tuples(st.just("delete"), st.none(), st.none(), st.none()),
    ),
    min_size=1,
    max_size=8,
)


class Model:
    """What the repository should be: rows by (role, version), the current view, the changes."""

    def __init__(self) -> None:
        self.rows: dict[tuple[RoleName, int], NewFile] = {}
        self.current: dict[RoleName, NewFile] = {}
        self.changes: list[tuple[int, str, str]] = []

    def highest(self) -> int:
        """The highest stored version of any role."""
        return max((version for _, version in self.rows), default=0)

    def takes(self, files: list[NewFile]) -> bool:
        """Whether every version is higher than the stored ones of its role."""
        return all(
            file.version > max((version for role, version in self.rows if role == file.role), default=0)
            for file in files
        )

    def commit(self, files: list[NewFile]) -> None:
        """All of them become rows and the whole current view."""
        self.rows.update({(file.role, file.version): file for file in files})
        self.current = {file.role: file for file in files}
        timestamp = self.current[TIMESTAMP]
        self.changes.append((timestamp.version, timestamp.sha256, "update"))

    def delete(self) -> bool:
        """Nothing is left; recorded if there was something."""
        existed = bool(self.rows)
        self.rows.clear()
        self.current.clear()
        if existed:
            self.changes.append((0, "", "deletion"))
        return existed


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_any_history_reads_as_it_was_written(
    store: SqlStore, steps: list[tuple[str, int, bool, bool]]
) -> None:
    """After every step each file, the trust state and the changefeed are those of the model."""
    gun = Gun(f"model/{uuid.uuid4().hex}")
    model = Model()
    older = await store.trust_state(gun, ROLES)
    for number, (kind, rise, first, second) in enumerate(steps):
        if kind == "delete":
            assert await store.delete(gun) == model.delete()
        else:
            extra = {
                role: f"{role} {number}".encode()
                for role, wanted in zip(ROLES[4:], (first, second), strict=True)
                if wanted
            }
            files = publish(max(model.highest() + rise, 1), str(number), extra)
            now = await store.trust_state(gun, ROLES)
            state = older if kind == "stale" else now
            older = now
            fits = model.takes(files) and state.latest.get(TIMESTAMP) == now.latest.get(TIMESTAMP)
            try:
                await store.commit(state, files)
            except HeadMoved:
                assert not fits
            else:
                assert fits
                model.commit(files)
        await _agrees(store, gun, model)


async def _agrees(store: SqlStore, gun: Gun, model: Model) -> None:
    for role in ROLES:
        found, expected = await store.current(gun, role), model.current.get(role)
        assert (found and found.data) == (expected and expected.data)
    for (role, version), file in model.rows.items():
        by_version = await store.by_version(gun, role, version)
        assert by_version is not None
        assert by_version.data == file.data
        assert await store.by_checksum(gun, role, file.sha256) == by_version
    state = await store.trust_state(gun, ROLES)
    latest = {role: max(version for other, version in model.rows if other == role) for role, _ in model.rows}
    assert {role: summary.version for role, summary in state.latest.items()} == latest
    assert state.files == {role: model.rows[role, version].data for role, version in latest.items()}
    feed = await store.changes(gun, 0, 100)
    assert [(change.version, change.sha256, change.category) for change in feed] == model.changes
