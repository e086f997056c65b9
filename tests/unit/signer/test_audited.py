"""Permission, creation limit and record around the use cases; parts that fail on purpose are made up here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from notary_common.wire import Key, SignResponse
from notary_signer import refusals
from notary_signer.audited import AuditedSigner, Caller
from notary_signer.clients import ClientRule, Clients, Identity
from notary_signer.creations import CreationLimit
from notary_signer.errors import (
    AuditUnavailable,
    BadRequest,
    ClientRefused,
    KeyRefused,
    KeyUnknown,
    SignerError,
    TokenUnavailable,
    TooManyKeys,
)
from notary_signer.metrics import Metrics
from notary_signer.operations import Signed, SignerService
from notary_signer.ports import AuditEvent, KeyRegistry

GUN = "docker.io/library/alpine"
CALLER = Caller(Identity("cn:server", "server"), "request-1")
HELD = Key(
    key_id="a" * 64,
    algorithm="ecdsa",
    public=b"p",
    gun=GUN,
    role="timestamp",
    state="pending",
    highest_version=0,
)


class Log:
    """An audit log that keeps what it is told, and fails from the record number `fails_at` on."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.fails_at: int | None = None

    async def append(self, event: AuditEvent) -> None:
        if self.fails_at is not None and len(self.events) >= self.fails_at:
            raise AuditUnavailable("the disk is full")
        self.events.append(event)

    async def ping(self) -> None:
        if self.fails_at is not None:
            raise AuditUnavailable("the disk is full")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event.action, event.outcome) for event in self.events]


class Service:
    """Use cases that make a new key unless one is unused, and fail with `fault`."""

    def __init__(self) -> None:
        self.is_unused = False
        self.made = 0
        self.retired = 0
        self.fault: BaseException | None = None

    async def unused(self, *_about: object) -> Key | None:
        return HELD if self.is_unused else None

    async def create_key(self, gun: str, *_about: object) -> tuple[Key, bool]:
        if self.fault is not None:
            raise self.fault
        new, self.is_unused = not self.is_unused, True
        self.made += new
        return HELD, new

    async def sign(self, *_about: object) -> Signed:
        if self.fault is not None:
            raise self.fault
        self.is_unused = False
        return Signed(SignResponse("a" * 64, "ecdsa", b"s"), 7, "b" * 64)

    async def retire(self, *_about: object) -> Key:
        if self.fault is not None:
            raise self.fault
        self.retired += 1
        return HELD

    async def key(self, _key_id: str) -> Key:
        return HELD

    async def describe(self, _key_ids: list[str]) -> list[Key]:
        return [HELD]

    async def health(self) -> dict[str, str]:
        return {}


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def build(log: Log, service: Service) -> Callable[..., AuditedSigner]:
    def build(*rules: ClientRule, keys_per_hour: int = 100) -> AuditedSigner:
        return AuditedSigner(
            cast(SignerService, service), cast(KeyRegistry, service), log, Clients(rules or None, 0),
            CreationLimit(keys_per_hour), Metrics(),
        )  # fmt: skip

    return build


Build = Callable[..., AuditedSigner]


async def test_every_act_has_its_record(build: Build, log: Log) -> None:
    """Who, what, about which key, with which request; what cannot be taken back has one before, too."""
    signer = build()
    await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    await signer.sign(CALLER, "a" * 64, GUN, "timestamp", b"payload")
    await signer.retire(CALLER, "a" * 64, GUN)
    assert log.told == [
        ("create_key", "begun"), ("create_key", "done"), ("create_key", "done"), ("sign", "done"),
        ("retire_key", "begun"), ("retire_key", "done"),
    ]  # fmt: skip
    assert {(event.actor, event.request_id, event.gun) for event in log.events} == {
        ("cn:server", "request-1", GUN)
    }
    _, created, again, signed, _, retired = log.events
    assert (created.key_id, created.role, created.reason) == ("a" * 64, "timestamp", "")
    assert "again" in again.reason
    assert (signed.key_id, signed.version, signed.payload_sha256) == ("a" * 64, 7, "b" * 64)
    assert retired.key_id == "a" * 64


@pytest.mark.parametrize(("fault", "outcome", "reason"), [
    (KeyRefused("the key is retired"), "refused", "the key is retired"),
    (BadRequest("no"), "refused", "no"),
    (TokenUnavailable("gone"), "failed", "gone"),
    (RuntimeError("secret"), "failed", "an unexpected error; the signer's log has the details"),
])  # fmt: skip
async def test_what_does_not_happen_is_recorded_too(
    build: Build, log: Log, service: Service, fault: Exception, outcome: str, reason: str
) -> None:
    """Refused or failed, with the signer's own words and never those of an unforeseen exception."""
    service.fault = fault
    signer = build()
    for act in (
        signer.sign(CALLER, "a" * 64, GUN, "timestamp", b"payload"),
        signer.create_key(CALLER, GUN, "timestamp", "ecdsa"),
        signer.retire(CALLER, "a" * 64, GUN),
    ):
        log.events.clear()
        with pytest.raises(type(fault)):
            await act
        assert (log.events[-1].outcome, log.events[-1].reason) == (outcome, reason)


async def test_nothing_is_given_out_without_a_record(build: Build, log: Log, service: Service) -> None:
    """No signature, no new key, no retirement; reads go on, and health says why."""
    signer = build()
    log.fails_at = 0
    with pytest.raises(AuditUnavailable):
        await signer.sign(CALLER, "a" * 64, GUN, "timestamp", b"payload")
    with pytest.raises(AuditUnavailable):
        await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    with pytest.raises(AuditUnavailable):
        await signer.retire(CALLER, "a" * 64, GUN)
    assert (service.made, service.retired) == (0, 0)
    log.fails_at = 1
    with pytest.raises(AuditUnavailable):
        await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    assert log.told == [("create_key", "begun")]
    service.fault = KeyRefused("no")
    with pytest.raises(AuditUnavailable):
        await signer.sign(CALLER, "a" * 64, GUN, "timestamp", b"payload")
    assert await signer.key(CALLER, "a" * 64) == HELD
    assert await signer.describe(CALLER, ["a" * 64]) == [HELD]
    assert await signer.health(CALLER) == {"audit": "the disk is full"}
    log.fails_at = None
    assert await signer.health(CALLER) == {}


async def test_clients_do_what_they_may(build: Build, log: Log, service: Service) -> None:
    """Each operation by itself, within the client's repositories; every refusal has its record and no effect."""
    rule = ClientRule("subject_cn", "server", frozenset({"sign", "describe"}), ("docker.io/",))
    signer = build(rule)
    await signer.sign(CALLER, "a" * 64, GUN, "timestamp", b"payload")
    assert await signer.describe(CALLER, ["a" * 64]) == [HELD]
    stranger = Caller(Identity("cn:other", "other"), "request-2")
    log.events.clear()
    refused: list[Any] = [
        signer.sign(CALLER, "a" * 64, "quay.io/x", "timestamp", b"payload"),
        signer.create_key(CALLER, GUN, "timestamp", "ecdsa"),
        signer.retire(CALLER, "a" * 64, GUN),
        signer.health(CALLER),
        signer.exposition(CALLER),
        signer.key(stranger, "a" * 64),
        signer.describe(stranger, ["a" * 64]),
    ]
    for act in refused:
        with pytest.raises(ClientRefused):
            await act
    assert [outcome for _, outcome in log.told] == ["refused"] * len(refused)
    assert log.events[0].gun == "quay.io/x"
    assert log.events[-1].actor == "cn:other"
    assert (service.made, service.retired) == (0, 0)


async def test_a_client_that_is_refused_again_and_again_does_not_fill_the_log(
    build: Build, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many records in a minute; then one that says how many more there were. Another client has its own."""
    minute = 7
    monkeypatch.setattr(refusals, "_minute", lambda: minute)
    monkeypatch.setattr(refusals, "MAX_RECORDED", 3)
    signer = build(ClientRule("subject_cn", "server", frozenset({"sign"})))
    other = Caller(Identity("cn:other", "other"), "request-2")

    async def is_refused(caller: Caller, times: int) -> None:
        for _ in range(times):
            with pytest.raises(ClientRefused):
                await signer.health(caller)

    await is_refused(CALLER, 8)
    await is_refused(other, 2)
    assert log.told == [("health", "refused")] * 5
    log.events.clear()
    minute += 1
    await is_refused(other, 2)
    assert log.told == [("refusals", "refused"), ("health", "refused"), ("health", "refused")]
    assert (log.events[0].actor, log.events[0].reason.partition(" ")[0]) == ("cn:server", "5")


async def test_keys_of_others_are_not_shown(build: Build) -> None:
    """A client that may describe keys of some repositories sees no others."""
    rule = ClientRule("subject_cn", "server", frozenset({"describe"}), ("quay.io/",))
    signer = build(rule)
    assert await signer.describe(CALLER, ["a" * 64]) == []
    with pytest.raises(KeyUnknown):
        await signer.key(CALLER, "a" * 64)


async def test_new_keys_are_counted_by_client(build: Build, log: Log, service: Service) -> None:
    """The unused key again is free, also beyond the limit; failures give their place back; another client has its own."""
    signer = build(keys_per_hour=2)
    service.fault = TokenUnavailable("busy")
    for _ in range(5):
        with pytest.raises(TokenUnavailable):
            await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    service.fault = None
    for _ in range(2):
        service.is_unused = False
        for _ in range(3):
            await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    service.is_unused = False
    with pytest.raises(TooManyKeys) as refusal:
        await signer.create_key(CALLER, GUN, "timestamp", "ecdsa")
    assert 1 <= refusal.value.retry_after <= 3600
    assert log.told[-1] == ("create_key", "refused")
    assert service.made == 2
    await signer.create_key(Caller(Identity("cn:other", "other"), "r"), GUN, "timestamp", "ecdsa")


def test_keys_that_are_being_made_hold_their_place() -> None:
    """A burst does not see the same free place many times."""
    limit = CreationLimit(2)
    with limit.room("a"), limit.room("a"):
        with pytest.raises(TooManyKeys), limit.room("a"):
            pass
        with limit.room("b"):
            pass
    with limit.room("a"):
        limit.made("a")
        limit.made("a")
    with pytest.raises(TooManyKeys), limit.room("a"):
        pass


def test_metrics_have_closed_labels() -> None:
    """What was asked for is never a label by itself, and numbers of other parts are read when asked."""
    metrics = Metrics()
    metrics.request("sign", "done", 0.003)
    metrics.request("docker.io/library/secret", "refused", 0.1)
    metrics.refusal(SignerError.code)
    metrics.failure("token")
    metrics.key_created()
    level = [1.0]
    metrics.watch("counter", "notary_signer_audit_records", "Records.", lambda: level[0])
    metrics.watch("gauge", "notary_signer_things", "Things.", lambda: level[0])
    metrics.watch_state("notary_signer_token_state", "The token.", ("ready", "lost"), lambda: "lost")
    level[0] = 5.0
    text = metrics.exposition().decode()
    for line in (
        'notary_signer_requests_total{operation="sign",outcome="done"} 1.0',
        'notary_signer_requests_total{operation="other",outcome="refused"} 1.0',
        'notary_signer_request_seconds_bucket{le="0.005",operation="sign"} 1.0',
        'notary_signer_failures_total{part="token"} 1.0',
        "notary_signer_keys_created_total 1.0",
        "notary_signer_audit_records_total 5.0",
        "notary_signer_things 5.0",
        'notary_signer_token_state{state="ready"} 0.0',
        'notary_signer_token_state{state="lost"} 1.0',
    ):
        assert line in text
    assert "secret" not in text
