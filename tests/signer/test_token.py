"""The token worker over a real SoftHSM: keys, faults, and the one thread."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, get_args

import pkcs11
import pytest

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import StartRefused, TokenFault, TokenUnavailable
from notary_signer.ports import NewKey, PrivatePart
from notary_signer.token import objects
from notary_signer.token.connection import KEK_LABEL, Connection
from notary_signer.token.hardware import HardwareToken
from notary_signer.token.initialise import initialise_token
from notary_signer.token.problems import TokenProblem
from notary_signer.token.worker import Worker
from tests.support import softhsm
from tests.support.softhsm import SoftHsm

ALGORITHMS = get_args(Algorithm)
MESSAGE = b"a message"


async def signs(token: HardwareToken, key: NewKey) -> bool:
    signature = await token.sign(key.key_id, key.algorithm, key.private, MESSAGE)
    return encoding.verifies(key.algorithm, key.public, signature, MESSAGE)


async def until_signs(token: HardwareToken, key: NewKey) -> None:
    """Poll until the token is back."""
    deadline = time.monotonic() + 20
    while True:
        try:
            assert await signs(token, key)
            return
        except TokenUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_keys_of_every_algorithm_sign(token: HardwareToken, algorithm: Algorithm) -> None:
    """A new key has its own ID, signs, and keeps its private part wrapped or in the token."""
    key = await token.generate(algorithm, "a/b timestamp")
    assert key.key_id == encoding.key_id(algorithm, key.public)
    assert key.private.keeping == ("resident" if algorithm == "ed25519" else "wrapped")
    assert await signs(token, key)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_keys_survive_the_process(hsm: SoftHsm, algorithm: Algorithm) -> None:
    """A key works in a token that was opened anew, from what the registry would hold."""
    first = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    await first.open()
    key = await first.generate(algorithm, "a/b timestamp")
    await first.close()
    second = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    await second.open()
    assert await signs(second, key)
    await second.close()


async def test_the_bound_on_loaded_keys_holds(hsm: SoftHsm) -> None:
    """With room for two keys, five are used in turn, twice, and none is lost."""
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print, max_handles=2)
    await token.open()
    kinds: list[Algorithm] = ["ecdsa", "ed25519", "ecdsa", "ed25519", "ecdsa"]
    keys = [await token.generate(kind, "label") for kind in kinds]
    for key in keys * 2:
        assert await signs(token, key)
    connection = token._connection
    assert connection is not None
    assert len(connection._handles) == 2
    await token.close()


async def test_a_session_lost_behind_its_back_is_replaced(token: HardwareToken, events: list[str]) -> None:
    """After the session was closed under it, the very next call succeeds over a new one."""
    keys = [await token.generate(algorithm, "label") for algorithm in ALGORITHMS]
    for key in keys:
        connection = token._connection
        assert connection is not None
        await token._worker.submit(connection._session.close, 5)
        assert await signs(token, key)
    assert sum("again" in event for event in events) >= len(keys)


async def test_a_token_that_goes_away_is_unavailable_and_comes_back(
    hsm: SoftHsm, token: HardwareToken, events: list[str]
) -> None:
    """Without its store the token answers nothing but "unavailable"; with it, everything works as before."""
    key = await token.generate("ecdsa", "label")
    away = hsm.directory / "away"
    hsm.tokens.rename(away)
    connection = token._connection
    assert connection is not None
    connection._handles.clear()
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            await signs(token, key)
        with pytest.raises(TokenUnavailable):
            await token.ping()
        with pytest.raises(TokenUnavailable):
            await token.generate("ecdsa", "label")
    away.rename(hsm.tokens)
    await until_signs(token, key)
    await token.ping()
    assert softhsm.PIN not in "".join(events)


async def test_a_wrong_pin_is_tried_once(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PIN that the token refused is never tried again, however often the token is asked."""
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    await token.open()
    key = await token.generate("ecdsa", "label")
    hsm.pin_file.write_text("0000-wrong\n")
    connection = token._connection
    assert connection is not None
    await token._worker.submit(connection._session.close, 5)
    opened: list[None] = []
    real = Connection.open

    def counted(*arguments: Any) -> Connection:
        opened.append(None)
        return real(*arguments)

    monkeypatch.setattr(Connection, "open", counted)
    for _ in range(3):
        with pytest.raises(TokenUnavailable, match="restart") as caught:
            await signs(token, key)
        assert "0000-wrong" not in str(caught.value)
        token._retry_at = 0.0
    assert len(opened) == 1
    await token.close()


async def test_a_wrong_pin_refuses_the_start(hsm: SoftHsm) -> None:
    """The text names the key to correct and not the PIN."""
    hsm.pin_file.write_text("0000-wrong\n")
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    with pytest.raises(StartRefused, match="pin_file") as caught:
        await token.open()
    assert "0000-wrong" not in str(caught.value)
    await token.close()


async def test_a_missing_token_refuses_the_start(hsm: SoftHsm) -> None:
    """The text says which command makes one."""
    token = HardwareToken(None, "another", hsm.pin_file, on_event=print)
    with pytest.raises(StartRefused, match="token init"):
        await token.open()
    await token.close()


async def test_a_damaged_wrapped_key_is_a_fault_and_not_an_outage(token: HardwareToken) -> None:
    """A blob that does not unwrap fails alone: other keys go on, over the same session."""
    key = await token.generate("ecdsa", "label")
    connection = token._connection
    for blob in (b"", b"short", bytes(len(key.private.blob)), key.private.blob[:-8]):
        with pytest.raises(TokenFault):
            await token.sign("0" * 64, "ecdsa", PrivatePart("wrapped", KEK_LABEL, blob), MESSAGE)
    with pytest.raises(TokenFault):
        await token.sign("1" * 64, "ecdsa", PrivatePart("wrapped", "no-such-kek", key.private.blob), MESSAGE)
    with pytest.raises(TokenFault):
        await token.sign("2" * 64, "ed25519", PrivatePart("resident", "", b""), MESSAGE)
    assert token._connection is connection
    assert await signs(token, key)


async def test_another_tokens_keys_do_not_unwrap(
    token: HardwareToken, tmp_path: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key wrapped under one token's KEK is useless in another token, though the KEKs have the same label."""
    key = await token.generate("ecdsa", "label")
    await token.close()
    other_hsm = softhsm.make(tmp_path / "other")
    monkeypatch.setenv("SOFTHSM2_CONF", str(other_hsm.conf))
    other = HardwareToken(None, other_hsm.label, other_hsm.pin_file, on_event=print)
    await other.open()
    with pytest.raises(TokenFault):
        await signs(other, key)
    await other.close()


async def test_discarded_resident_keys_leave_the_token(token: HardwareToken) -> None:
    """A key that lost the race to the registry does not fill the token."""
    key = await token.generate("ed25519", "label")
    assert await signs(token, key)
    await token.discard(key)
    with pytest.raises(TokenFault):
        await signs(token, key)


async def test_unwrapped_keys_and_the_kek_cannot_leave_the_token(token: HardwareToken) -> None:
    """The KEK only wraps and unwraps; what it unwraps only signs; neither can be exported or wrapped again."""
    await token.generate("ecdsa", "label")
    connection = token._connection
    assert connection is not None

    def look() -> None:
        kek = connection._kek(KEK_LABEL)
        (handle,) = connection._handles.values()
        for name in ("EXTRACTABLE", "DECRYPT", "SIGN", "ENCRYPT"):
            assert kek[pkcs11.Attribute[name]] is False
        for name in ("EXTRACTABLE", "DECRYPT", "UNWRAP", "DERIVE", "TOKEN"):
            assert handle[pkcs11.Attribute[name]] is False
        with pytest.raises(pkcs11.PKCS11Error):
            kek.wrap_key(handle, mechanism=pkcs11.Mechanism.AES_KEY_WRAP_PAD)  # type: ignore[attr-defined]
        with pytest.raises(pkcs11.PKCS11Error):
            kek[pkcs11.Attribute.DECRYPT] = True
        for secret in (kek, handle):
            with pytest.raises(pkcs11.PKCS11Error):
                _ = secret[pkcs11.Attribute.VALUE]
        with pytest.raises(pkcs11.PKCS11Error):
            handle[pkcs11.Attribute.EXTRACTABLE] = True

    await token._worker.submit(look, 10)


async def test_a_new_key_that_stays_extractable_is_replaced(
    token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a token does not let a key be sealed in, the handle that is kept is the unwrapped one, which is."""
    monkeypatch.setattr(objects, "seal_in", lambda _private: False)
    key = await token.generate("ecdsa", "label")
    connection = token._connection
    assert connection is not None
    handle = connection._handles[key.key_id]
    assert await token._worker.submit(lambda: handle[pkcs11.Attribute.EXTRACTABLE], 10) is False
    assert await signs(token, key)


async def test_only_the_owning_thread_touches_the_module(token: HardwareToken) -> None:
    """A call from any other thread is an error before it reaches the module."""
    connection = token._connection
    assert connection is not None
    with pytest.raises(RuntimeError, match="thread"):
        connection.probe()


async def test_fifty_signatures_at_once(token: HardwareToken) -> None:
    """Many callers share the one thread; every signature is right."""
    keys = [await token.generate("ecdsa", "label") for _ in range(5)]
    assert all(await asyncio.gather(*(signs(token, key) for key in keys * 10)))


async def test_a_call_that_takes_too_long_is_unavailable() -> None:
    """Who waits is answered at the deadline; calls behind it that nobody waits for any more never run."""
    worker = Worker(max_waiting=2)
    worker.start()
    gate, ran = threading.Event(), threading.Event()
    with pytest.raises(TokenUnavailable, match="seconds"):
        await worker.submit(gate.wait, 0.05)
    with pytest.raises(TokenUnavailable, match="seconds"):
        await worker.submit(ran.set, 0.05)
    waiting = asyncio.create_task(worker.submit(lambda: None, 10))
    await asyncio.sleep(0)
    with pytest.raises(TokenUnavailable, match="too many"):
        await worker.submit(lambda: None, 10)
    gate.set()
    await waiting
    assert not ran.is_set()
    await worker.stop(lambda: None, 5)
    with pytest.raises(TokenUnavailable, match="shutting down"):
        await worker.submit(lambda: None, 1)


def test_a_late_answer_harms_nothing_once_its_loop_has_ended() -> None:
    """A call that outlives the event loop of who asked does not end the thread."""
    worker = Worker()
    worker.start()
    gate = threading.Event()
    with pytest.raises(TokenUnavailable, match="seconds"):
        asyncio.run(worker.submit(gate.wait, 0.05))
    gate.set()
    assert asyncio.run(worker.submit(lambda: "alive", 10)) == "alive"
    asyncio.run(worker.stop(lambda: None, 10))


def test_an_initialised_token_is_never_touched(hsm: SoftHsm) -> None:
    """A second initialisation with the same label is refused, and the first token's KEK is still there."""
    before = sorted(path.read_bytes() for path in hsm.tokens.rglob("*.object"))
    said = softhsm.run(
        hsm,
        "from notary_signer.token.initialise import initialise_token\n"
        "from notary_signer.token.problems import TokenProblem\n"
        "try: initialise_token(None, label, '1234')\n"
        "except TokenProblem as problem: print(problem)",
    )
    assert "left as it is" in said
    assert sorted(path.read_bytes() for path in hsm.tokens.rglob("*.object")) == before


@pytest.mark.parametrize(
    ("label", "pin"), [("", "1234"), ("x" * 33, "1234"), ("t", ""), ("t", "123"), ("t", "x" * 256)]
)
def test_unfit_labels_and_pins_make_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, pin: str
) -> None:
    """Refused before anything is made."""
    prepared = softhsm.prepare(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(prepared.conf))
    with pytest.raises(TokenProblem):
        initialise_token(None, label, pin)
    assert list(prepared.tokens.iterdir()) == []


LOG_IN = (
    "import pkcs11; from pkcs11 import Attribute, KeyType, MechanismFlag as Flag\n"
    "session = pkcs11.lib(str(module)).get_token(token_label=label).open(rw=True, user_pin=pin_file.read_text().strip())\n"
)
WITHOUT_KEK = LOG_IN + "[key.destroy() for key in session.get_objects({Attribute.LABEL: 'notary-kek-1'})]\n"
NEW_KEK = (
    "session.generate_key(KeyType.AES, 256, label='notary-kek-1', store=True, capabilities={}, template={})\n"
)


@pytest.mark.parametrize(("code", "words"), [
    (WITHOUT_KEK, "no key-encryption key"),
    (LOG_IN + NEW_KEK.format("Flag.WRAP | Flag.UNWRAP", "{}"), "more than one key-encryption key"),
    (WITHOUT_KEK + NEW_KEK.format("Flag.WRAP | Flag.UNWRAP | Flag.DECRYPT", "{}"), "CKA_DECRYPT"),
    (WITHOUT_KEK + NEW_KEK.format("Flag.WRAP | Flag.UNWRAP", "{Attribute.EXTRACTABLE: True}"), "CKA_EXTRACTABLE"),
    (WITHOUT_KEK + NEW_KEK.format("Flag.WRAP | Flag.UNWRAP", "{Attribute.SENSITIVE: False}"), "CKA_SENSITIVE"),
    (
        "import pkcs11; from notary_signer.token import initialise\n"
        "slots = pkcs11.lib(str(module)).get_slots(token_present=True)\n"
        "free = [slot.slot_id for slot in slots if not slot.get_token().label]\n"
        "initialise._init_token(module, free[0], label, '1234')",
        "more than one token",
    ),
])  # fmt: skip
async def test_a_token_that_is_not_as_it_should_be_refuses_the_start(
    hsm: SoftHsm, code: str, words: str
) -> None:
    """No KEK, two of them, one that could give keys away, or two tokens of one name: not used at all."""
    softhsm.run(hsm, code)
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    with pytest.raises(StartRefused, match=words):
        await token.open()
    await token.close()


async def test_a_token_that_signs_wrongly_refuses_the_start(
    hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test verifies what the token signed."""
    monkeypatch.setattr(objects, "sign", lambda *_arguments: b"\1" * 64)
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    with pytest.raises(StartRefused, match="does not verify"):
        await token.open()
    await token.close()


async def test_algorithms_that_a_token_lacks(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token without an algorithm is used for the others; one that has none of them is refused."""
    real = objects.generate_pair
    lacking: set[str] = {"rsa", "ed25519"}

    def generate(session: Any, algorithm: Algorithm, **options: Any) -> Any:
        if algorithm in lacking:
            raise pkcs11.MechanismInvalid
        return real(session, algorithm, **options)

    monkeypatch.setattr(objects, "generate_pair", generate)
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    assert await token.open() == {"ecdsa": "wrapped"}
    assert await signs(token, await token.generate("ecdsa", "label"))
    with pytest.raises(TokenFault, match="rsa"):
        await token.generate("rsa", "label")
    await token.close()
    lacking.add("ecdsa")
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    with pytest.raises(StartRefused, match="none of the key types"):
        await token.open()
    await token.close()


async def test_a_token_that_cannot_wrap_keeps_all_keys(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be wrapped every key is resident, signs after a restart, and health is still proved."""

    def wrap(*_arguments: object) -> bytes:
        raise pkcs11.KeyNotWrappable

    monkeypatch.setattr(objects, "wrap", wrap)
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    assert set((await token.open()).values()) == {"resident"}
    key = await token.generate("ecdsa", "label")
    assert key.private == PrivatePart("resident", "", b"")
    await token.ping()
    await token.close()
    token = HardwareToken(None, hsm.label, hsm.pin_file, on_event=print)
    await token.open()
    assert await signs(token, key)
    await token.close()


async def test_a_token_that_fails_again_and_again_is_unavailable(
    hsm: SoftHsm, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a new connection does not help either, the answer is "unavailable", and it is tried again later."""
    key = await token.generate("ecdsa", "label")
    with monkeypatch.context() as patched:

        def sign(*_arguments: object) -> bytes:
            raise pkcs11.exceptions.DeviceError

        patched.setattr(objects, "sign", sign)
        with pytest.raises(TokenUnavailable, match="does not work"):
            await signs(token, key)
    await until_signs(token, key)


async def test_a_pin_file_that_is_opened_to_others_later_is_not_read(
    hsm: SoftHsm, token: HardwareToken
) -> None:
    """The file is checked at every login, also when reconnecting; correcting it is enough."""
    key = await token.generate("ecdsa", "label")
    connection = token._connection
    assert connection is not None
    hsm.pin_file.chmod(0o622)
    await token._worker.submit(connection._session.close, 5)
    with pytest.raises(TokenUnavailable, match="chmod 600"):
        await signs(token, key)
    hsm.pin_file.chmod(0o600)
    await until_signs(token, key)
