"""The token as its own process keeps it: keys, faults, what is refused, over a real SoftHSM in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pkcs11
import pytest

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault, TokenUnavailable
from notary_signer.ports import Keeping, NewKey, PrivatePart
from notary_signer.token import login, objects, wrapping
from notary_signer.token import wrapper as wrapper_module
from notary_signer.token.connection import Connection
from notary_signer.token.initialise import initialise_token
from notary_signer.token.keeper import Keeper
from notary_signer.token.native import Native
from notary_signer.token.problems import PinRefused, TokenProblem
from notary_signer.token.settings import Proof
from notary_signer.token.wrapper import KEK_LABEL
from tests.support import softhsm
from tests.support.softhsm import SoftHsm

ALGORITHMS = get_args(Algorithm)
MESSAGE = b"a message"


class Events(list[str]):
    """What the keeper told, each as its state and sentence."""

    def add(self, state: str, sentence: str) -> None:
        self.append(f"{state}: {sentence}")


@pytest.fixture
def told() -> Events:
    """What the keeper told."""
    return Events()


@pytest.fixture
def keeper(hsm: SoftHsm, told: Events) -> Iterator[Keeper]:
    """The token, opened."""
    made = Keeper(hsm.settings(), told.add)
    made.start()
    yield made
    made.close()


def opened(hsm: SoftHsm, **changes: Any) -> Keeper:
    made = Keeper(hsm.settings(**changes), lambda state, sentence: None)
    made.start()
    return made


def kept(proven: dict[Algorithm, Proof]) -> dict[Algorithm, Keeping]:
    return {algorithm: proof.keeping for algorithm, proof in proven.items()}


def connection_of(keeper: Keeper) -> Connection:
    assert keeper._connection is not None
    return keeper._connection


def generate(keeper: Keeper, algorithm: Algorithm = "ecdsa") -> NewKey:
    return keeper.attempt(lambda connection: connection.generate(algorithm, "a/b timestamp"))


def signs(keeper: Keeper, key: NewKey) -> bool:
    signature = keeper.attempt(lambda c: c.sign(key.key_id, key.algorithm, key.private, MESSAGE))
    return encoding.verifies(key.algorithm, key.public, signature, MESSAGE)


def until_signs(keeper: Keeper, key: NewKey) -> None:
    """Poll until the token is back."""
    deadline = time.monotonic() + 20
    while True:
        try:
            assert signs(keeper, key)
            return
        except TokenUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_bound_on_loaded_keys_holds(hsm: SoftHsm) -> None:
    """With room for two keys, five are used in turn, twice, and none is lost."""
    keeper = opened(hsm, max_handles=2)
    kinds: list[Algorithm] = ["ecdsa", "ed25519", "ecdsa", "ed25519", "ecdsa"]
    keys = [generate(keeper, kind) for kind in kinds]
    for key in keys * 2:
        assert signs(keeper, key)
    assert keeper.handles == 2
    keeper.close()


def test_a_session_lost_behind_its_back_is_replaced(keeper: Keeper, told: Events) -> None:
    """After the session was closed under it, the very next call succeeds over a new one."""
    keys = [generate(keeper, algorithm) for algorithm in ALGORITHMS]
    for key in keys:
        connection_of(keeper)._session.close()
        assert signs(keeper, key)
    assert [event.partition(":")[0] for event in told] == ["lost", "ready"] * len(keys)


def test_a_token_that_goes_away_is_unavailable_and_comes_back(
    hsm: SoftHsm, keeper: Keeper, told: Events
) -> None:
    """Without its store the token answers nothing but "unavailable"; with it, everything works as before."""
    key = generate(keeper)
    away = hsm.directory / "away"
    hsm.tokens.rename(away)
    connection_of(keeper)._handles.clear()
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            signs(keeper, key)
        with pytest.raises(TokenUnavailable):
            keeper.attempt(Connection.probe)
        with pytest.raises(TokenUnavailable):
            generate(keeper)
    away.rename(hsm.tokens)
    until_signs(keeper, key)
    keeper.attempt(Connection.probe)
    assert told[-1].startswith("ready")
    assert softhsm.PIN not in "".join(told)


def test_a_missing_token_refuses_the_start(hsm: SoftHsm) -> None:
    """The text says which command makes one, and which tokens there are."""
    with pytest.raises(TokenProblem, match=r"token init.*serial"):
        opened(hsm, label="another")


def test_a_damaged_wrapped_key_is_a_fault_and_not_an_outage(keeper: Keeper) -> None:
    """A blob that does not unwrap fails alone: other keys go on, over the same session."""
    key = generate(keeper)
    connection = connection_of(keeper)
    parts = [
        PrivatePart("wrapped", KEK_LABEL, blob)
        for blob in (b"", b"short", bytes(len(key.private.blob)), key.private.blob[:-8])
    ]
    parts += [
        PrivatePart("wrapped", "no-such-kek", key.private.blob),
        PrivatePart("wrapped", KEK_LABEL, key.private.blob, "ROT13"),
    ]
    for part in parts:
        with pytest.raises(TokenFault):
            keeper.attempt(lambda c, part=part: c.sign("0" * 64, "ecdsa", part, MESSAGE))  # type: ignore[misc]
    with pytest.raises(TokenFault):
        keeper.attempt(lambda c: c.sign("2" * 64, "ed25519", PrivatePart("resident", "", b""), MESSAGE))
    assert keeper._connection is connection
    assert signs(keeper, key)


def test_another_tokens_keys_do_not_unwrap(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key wrapped under one token's KEK is useless in another token, though the KEKs have the same label."""
    key = generate(keeper)
    keeper.close()
    other_hsm = softhsm.make(tmp_path / "other")
    monkeypatch.setenv("SOFTHSM2_CONF", str(other_hsm.conf))
    other = opened(other_hsm)
    with pytest.raises(TokenFault):
        signs(other, key)
    other.close()


def test_unwrapped_keys_and_the_kek_cannot_leave_the_token(keeper: Keeper) -> None:
    """The KEK only wraps and unwraps; what it unwraps only signs; neither can be exported or wrapped again."""
    generate(keeper)
    connection = connection_of(keeper)
    kek = connection._wrapper._kek(KEK_LABEL)
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


def test_a_new_key_that_stays_extractable_is_replaced(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a token does not let a key be sealed in, the handle that is kept is the unwrapped one, which is."""
    monkeypatch.setattr(objects, "seal_in", lambda _private: False)
    key = generate(keeper)
    assert connection_of(keeper)._handles[key.key_id][pkcs11.Attribute.EXTRACTABLE] is False
    assert signs(keeper, key)


def test_only_the_owning_thread_touches_the_module(keeper: Keeper) -> None:
    """A call from any other thread is an error before it reaches the module."""
    connection = connection_of(keeper)
    connection._owner += 1
    with pytest.raises(RuntimeError, match="thread"):
        connection.probe()
    connection._owner -= 1


def test_an_initialised_token_is_never_touched(hsm: SoftHsm) -> None:
    """A second initialisation with the same label is refused, and the first token's KEK is still there."""

    def keys() -> list[bytes]:
        # Not token.object, where SoftHSM notes that somebody logged in.
        return sorted(p.read_bytes() for p in hsm.tokens.rglob("*.object") if p.name != "token.object")

    before = keys()
    assert before
    said = softhsm.run(
        hsm,
        "from notary_signer.token.initialise import initialise_token\n"
        "from notary_signer.token.problems import TokenProblem\n"
        "for existing in (False, True):\n"
        "    try: initialise_token(settings, bytearray(b'1234'), existing=existing)\n"
        "    except TokenProblem as problem: print(problem)",
    )
    assert said.count("left as it is") == 2
    assert keys() == before


@pytest.mark.parametrize(
    ("label", "pin"), [("", b"1234"), ("x" * 33, b"1234"), ("t", b""), ("t", b"123"), ("t", b"x" * 256)]
)
def test_unfit_labels_and_pins_make_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, pin: bytes
) -> None:
    """Refused before anything is made."""
    prepared = softhsm.prepare(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(prepared.conf))
    with pytest.raises(TokenProblem):
        initialise_token(prepared.settings(label=label), bytearray(pin))
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
        "import pkcs11; from notary_signer.token.native import Native\n"
        "slots = pkcs11.lib(str(module)).get_slots(token_present=True)\n"
        "free = [slot.slot_id for slot in slots if not slot.get_token().label]\n"
        "Native(module).init_token(free[0], label, bytearray(b'1234'))",
        "more than one token",
    ),
])  # fmt: skip
def test_a_token_that_is_not_as_it_should_be_refuses_the_start(hsm: SoftHsm, code: str, words: str) -> None:
    """No KEK, two of them, one that could give keys away, or two tokens of one name: not used at all."""
    softhsm.run(hsm, code)
    with pytest.raises(TokenProblem, match=words):
        opened(hsm)


def test_a_token_that_signs_wrongly_refuses_the_start(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test verifies what the token signed."""
    monkeypatch.setattr(objects, "sign", lambda *_arguments: b"\1" * 64)
    with pytest.raises(TokenProblem, match="does not verify"):
        opened(hsm)


def test_algorithms_that_a_token_lacks(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token without an algorithm is used for the others; one that has none of them is refused."""
    real = objects.generate_pair
    lacking: set[str] = {"rsa", "ed25519"}

    def lacks(session: Any, algorithm: Algorithm, **options: Any) -> Any:
        if algorithm in lacking:
            raise pkcs11.MechanismInvalid
        return real(session, algorithm, **options)

    monkeypatch.setattr(objects, "generate_pair", lacks)
    keeper = Keeper(hsm.settings(), lambda state, sentence: None)
    assert kept(keeper.start()) == {"ecdsa": "wrapped"}
    assert signs(keeper, generate(keeper))
    with pytest.raises(TokenFault, match="rsa"):
        generate(keeper, "rsa")
    keeper.close()
    lacking.add("ecdsa")
    with pytest.raises(TokenProblem, match="none of the key types"):
        opened(hsm)


def test_a_token_that_cannot_wrap_keeps_all_keys(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be wrapped every key is resident, and health is still proved."""

    def wrap(*_arguments: object) -> bytes:
        raise pkcs11.KeyNotWrappable

    monkeypatch.setattr(objects, "wrap", wrap)
    keeper = Keeper(hsm.settings(), lambda state, sentence: None)
    assert set(kept(keeper.start()).values()) == {"resident"}
    key = generate(keeper)
    assert key.private == PrivatePart("resident", "", b"")
    assert signs(keeper, key)
    keeper.attempt(Connection.probe)
    keeper.close()


def test_a_token_that_must_wrap_makes_only_what_it_wraps(hsm: SoftHsm) -> None:
    """With pkcs11.keys: wrapped, SoftHSM's Ed25519 keys, which it cannot wrap, are not offered."""
    keeper = Keeper(hsm.settings(mode="wrapped"), lambda state, sentence: None)
    assert kept(keeper.start()) == {"ecdsa": "wrapped", "rsa": "wrapped"}
    with pytest.raises(TokenFault, match="ed25519"):
        generate(keeper, "ed25519")
    keeper.close()


def test_plain_key_wrap_takes_only_keys_of_one_length(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that has nothing but CKM_AES_KEY_WRAP wraps P-256 keys by it, and keeps the others."""
    monkeypatch.setattr(
        wrapper_module, "wrappings", lambda *_arguments: {wrapping.KW: pkcs11.Mechanism.AES_KEY_WRAP}
    )
    keeper = Keeper(hsm.settings(), lambda state, sentence: None)
    assert kept(keeper.start()) == {"ecdsa": "wrapped", "rsa": "resident", "ed25519": "resident"}
    keys = [generate(keeper) for _ in range(5)]
    assert {key.private.keywrap for key in keys} == {wrapping.KW}
    connection_of(keeper)._handles.clear()
    assert all(signs(keeper, key) for key in keys)
    keeper.close()


def test_a_token_that_fails_again_and_again_is_unavailable(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a new connection does not help either, the answer is "unavailable", and it is tried again later."""
    key = generate(keeper)
    with monkeypatch.context() as patched:

        def sign(*_arguments: object) -> bytes:
            raise pkcs11.exceptions.DeviceError

        patched.setattr(objects, "sign", sign)
        with pytest.raises(TokenUnavailable, match="does not work"):
            signs(keeper, key)
    until_signs(keeper, key)


@pytest.mark.parametrize("chosen", ["serial", "slot"])
def test_a_token_can_be_named_by_its_serial_number_or_slot(hsm: SoftHsm, chosen: str) -> None:
    """The label is not looked at then; a number that no token has is a problem that lists those there are."""
    look = "import pkcs11; slot = next(iter(pkcs11.lib(str(module)).get_slots(token_present=True)))\n"
    serial, slot = softhsm.run(
        hsm, look + "print(slot.get_token().serial.decode().strip(), slot.slot_id)"
    ).split()
    number: Any = serial if chosen == "serial" else int(slot)
    keeper = opened(hsm, label="another", **{chosen: number})
    assert signs(keeper, generate(keeper))
    keeper.close()
    with pytest.raises(TokenProblem, match=serial):
        opened(hsm, **{chosen: "0000" if chosen == "serial" else 1 << 30})


def test_a_wrong_pin_is_tried_once(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PIN that the token refused is not tried again, by this process or the next, until its file is written anew."""
    keeper = opened(hsm)
    key = generate(keeper)
    hsm.pin_file.write_text("0000-wrong\n")
    connection_of(keeper)._session.close()
    tried: list[None] = []
    real = Native.login

    def counted(self: Native, *arguments: Any, **options: Any) -> None:
        tried.append(None)
        real(self, *arguments, **options)

    monkeypatch.setattr(Native, "login", counted)
    for _ in range(3):
        with pytest.raises(TokenUnavailable, match="correct") as caught:
            signs(keeper, key)
        assert "0000-wrong" not in str(caught.value)
        keeper._retry_at = 0.0
    with pytest.raises(PinRefused, match="before"):
        opened(hsm)
    assert len(tried) == 1
    assert "0000-wrong" not in Path(f"{hsm.pin_file}.refused").read_text()
    hsm.pin_file.write_text(softhsm.PIN + "\n")
    keeper._retry_at = 0.0
    assert signs(keeper, key)
    assert not Path(f"{hsm.pin_file}.refused").exists()
    keeper.close()


@pytest.mark.parametrize(
    ("flag", "writable", "words"),
    [
        ("USER_PIN_FINAL_TRY", True, "one more wrong PIN"),
        ("USER_PIN_LOCKED", True, "locked"),
        ("USER_PIN_COUNT_LOW", False, "not writable"),
    ],
)
def test_a_token_that_warns_is_not_tried(
    hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, flag: str, writable: bool, words: str
) -> None:
    """Before its last try, once it is locked, and after a wrong PIN where nobody could note which, no PIN is tried."""
    monkeypatch.setattr(login, "_flags", lambda _token: pkcs11.TokenFlag[flag])
    monkeypatch.setattr(login, "_writable", lambda _note: writable)
    monkeypatch.setattr(Native, "login", lambda *_arguments: pytest.fail("a PIN was tried"))
    with pytest.raises(PinRefused, match=words):
        opened(hsm)


def test_a_pin_file_that_is_opened_to_others_later_is_not_read(hsm: SoftHsm, keeper: Keeper) -> None:
    """The file is checked at every login, also when reconnecting; correcting it is enough."""
    key = generate(keeper)
    hsm.pin_file.chmod(0o622)
    connection_of(keeper)._session.close()
    with pytest.raises(TokenUnavailable, match="chmod 600"):
        signs(keeper, key)
    hsm.pin_file.chmod(0o600)
    until_signs(keeper, key)
