"""What the signer does when the module hangs, errs or dies: SoftHSM behind a shim that misbehaves on command."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notary_signer import encoding
from notary_signer.errors import StartRefused, TokenFault, TokenUnavailable
from notary_signer.ports import NewKey
from notary_signer.token import hardware
from notary_signer.token.hardware import HardwareToken
from notary_signer.token.settings import TokenSettings
from notary_signer.token.state import TokenState
from tests.support.faulty import Faults, compiled
from tests.support.softhsm import SoftHsm

MESSAGE = b"a message"
DEADLINE = 2.0
"""Long enough for a process on a busy machine, and the price of each hang in these tests."""

pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Faulty(Faults):
    """The same, and the token's settings with it."""

    settings: TokenSettings


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, compiled."""
    return compiled(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def faulty(shim: Path, hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """A token behind the shim."""
    made = Faulty(tmp_path, hsm.settings(module=str(shim)))
    for name, value in made.environ(hsm.module).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
async def opened(faulty: Faulty, events: list[str]) -> AsyncIterator[HardwareToken]:
    """The token, in its process."""
    token = HardwareToken(faulty.settings, on_event=events.append, deadline=DEADLINE)
    await token.open()
    yield token
    faulty.heal()
    await token.close()


async def signs(token: HardwareToken, key: NewKey) -> bool:
    signature = await token.sign(key.key_id, key.algorithm, key.private, MESSAGE)
    return encoding.verifies(key.algorithm, key.public, signature, MESSAGE)


async def until(reached: Callable[[], bool]) -> None:
    """Poll, as a person would who looks at health; the test's own timeout is the bound."""
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it was never reached")


async def until_state(token: HardwareToken, state: TokenState) -> None:
    await until(lambda: token.state == state)


async def until_signs(token: HardwareToken, key: NewKey) -> None:
    for _ in range(1_000):
        with suppress(TokenUnavailable):
            assert await signs(token, key)
            return
        await asyncio.sleep(0.05)
    pytest.fail("the token did not come back")


def pid_of(token: HardwareToken) -> int:
    assert token._child is not None
    assert token._child.pid is not None
    return token._child.pid


async def test_a_call_that_never_returns(
    faulty: Faulty, opened: HardwareToken, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every caller is answered, health says so before, nothing queues up behind it, and the process is replaced."""
    monkeypatch.setattr(hardware, "BUSY_AFTER", 0.1)
    key = await opened.generate("ecdsa", "label")
    pid = pid_of(opened)
    faulty.inject("C_Sign hang")
    callers = [asyncio.ensure_future(signs(opened, key)) for _ in range(20)]
    await until_state(opened, "busy")
    with pytest.raises(TokenUnavailable, match="one call"):
        await opened.ping()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(answer, TokenUnavailable) for answer in answers)
    await until_state(opened, "hung")
    assert (opened.sessions, opened.handles) == (0, 0)
    for call in (signs(opened, key), opened.ping()):
        with pytest.raises(TokenUnavailable, match="did not return"):
            await call
    faulty.heal()
    await until_state(opened, "ready")
    assert await signs(opened, key)
    assert pid_of(opened) != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "did not return" in events[0]
    assert "again" in events[-1]


async def test_a_token_that_hangs_at_every_start(faulty: Faulty, opened: HardwareToken) -> None:
    """The new process may hang as well: it is ended like the first, until one gets through."""
    key = await opened.generate("ecdsa", "label")
    logins = faulty.count("C_Login")
    faulty.inject("C_Sign hang\nC_Login hang")
    with pytest.raises(TokenUnavailable):
        await signs(opened, key)
    await until(lambda: faulty.count("C_Login") >= logins + 2)
    assert opened.state == "hung"
    faulty.heal()
    await until_state(opened, "ready")
    assert await signs(opened, key)


async def test_a_module_that_hangs_refuses_the_start(
    faulty: Faulty, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start ends with a sentence, and leaves no process behind."""
    monkeypatch.setattr(hardware, "START_DEADLINE", 0.5)
    faulty.inject("C_Initialize hang")
    token = HardwareToken(faulty.settings, on_event=events.append, deadline=DEADLINE)
    with pytest.raises(StartRefused, match="did not return"):
        await token.open()
    assert token.state == "lost"
    await token.close()


async def test_a_process_that_dies_is_replaced(
    faulty: Faulty, opened: HardwareToken, events: list[str]
) -> None:
    """Killed from outside or crashed inside the module: who asked is answered, and the next process goes on."""
    key = await opened.generate("ecdsa", "label")
    os.kill(pid_of(opened), signal.SIGKILL)
    await until_state(opened, "lost")
    await until_signs(opened, key)
    faulty.inject("C_Sign exit")
    with pytest.raises(TokenUnavailable, match="ended"):
        await signs(opened, key)
    faulty.heal()
    await until_signs(opened, key)
    assert [("unexpectedly" in event, "again" in event) for event in events] == [
        (True, False),
        (False, True),
    ] * 2


async def test_an_error_that_passes_is_not_seen(
    faulty: Faulty, opened: HardwareToken, events: list[str]
) -> None:
    """A device that errs once is asked again; one that errs on is unavailable, and used again when it is well."""
    key = await opened.generate("ecdsa", "label")
    faulty.inject("C_Sign 0x30 once")
    assert await signs(opened, key)
    assert not events
    faulty.inject("C_Sign 0x30")
    with pytest.raises(TokenUnavailable):
        await signs(opened, key)
    await until_state(opened, "lost")
    faulty.heal()
    await until_signs(opened, key)
    await until_state(opened, "ready")


async def test_a_full_token_makes_room(faulty: Faulty, opened: HardwareToken) -> None:
    """When the device has no memory left, unwrapped keys are given up, and the call goes on."""
    keys = [await opened.generate("ecdsa", "label") for _ in range(4)]
    faulty.inject("C_Sign 0x31 once")
    assert await signs(opened, keys[-1])
    assert opened.handles == 2
    assert all([await signs(opened, key) for key in keys])


async def test_more_callers_than_may_wait(faulty: Faulty, events: list[str]) -> None:
    """One too many is refused at once; who gave up before it was sent costs the token nothing."""
    token = HardwareToken(faulty.settings, on_event=events.append, deadline=DEADLINE, max_waiting=8)
    await token.open()
    key = await token.generate("ecdsa", "label")
    faulty.inject("C_Sign hang")
    callers = [asyncio.ensure_future(signs(token, key)) for _ in range(8)]
    await asyncio.sleep(0)
    assert token.state == "busy"
    with pytest.raises(TokenUnavailable, match="too many"):
        await signs(token, key)
    await asyncio.gather(*callers, return_exceptions=True)
    faulty.heal()
    await until_signs(token, key)
    await token.close()


async def test_a_wrong_pin_is_tried_once_by_all_restarts(faulty: Faulty, hsm: SoftHsm) -> None:
    """A process manager may start the signer as often as it likes, and several at once: the token is asked once."""
    hsm.pin_file.write_text("0000-wrong\n")

    async def start() -> StartRefused:
        token = HardwareToken(faulty.settings, on_event=print, deadline=DEADLINE)
        with pytest.raises(StartRefused, match="pin_file") as caught:
            await token.open()
        assert token.state == "refused"
        await token.close()
        assert "0000-wrong" not in str(caught.value)
        return caught.value

    at_once: list[Any] = await asyncio.gather(*(start() for _ in range(3)))
    later = await start()
    assert faulty.count("C_Login") == 1
    assert sum("before" in str(problem) for problem in [*at_once, later]) == 3


async def test_every_call_is_told_with_how_it_ended(faulty: Faulty) -> None:
    """A signature that fails is told apart from one that was made, and from one that was never answered."""
    told: list[tuple[str, str]] = []
    token = HardwareToken(
        faulty.settings,
        on_event=print,
        on_call=lambda operation, outcome, seconds: told.append((operation, outcome)),
        deadline=DEADLINE,
    )
    await token.open()
    key = await token.generate("ecdsa", "label")
    assert await signs(token, key)
    faulty.inject("C_Sign 0x5 once")
    with pytest.raises((TokenFault, TokenUnavailable)):
        await signs(token, key)
    faulty.inject("C_Sign hang")
    with pytest.raises(TokenUnavailable):
        await signs(token, key)
    assert told[:2] == [("generate", "done"), ("sign", "done")]
    assert told[2] in {("sign", "fault"), ("sign", "unavailable")}
    assert told[3] == ("sign", "unavailable")
    await token.close()
