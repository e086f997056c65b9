"""One suite for the token port: wrapped and resident keys, on SoftHSM and on NSS's softokn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault, TokenUnavailable
from notary_signer.ports import Keeping, NewKey, PrivatePart
from notary_signer.token.hardware import HardwareToken
from notary_signer.token.settings import Mode, TokenSettings
from notary_signer.token.wrapper import KEK_LABEL
from tests.support import nss
from tests.support.nss import Nss
from tests.support.softhsm import SoftHsm

MESSAGE = b"a message"
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

Kept = dict[Algorithm, Keeping]
KEPT: dict[tuple[str, Mode], Kept] = {
    ("softhsm", "auto"): {"ecdsa": "wrapped", "rsa": "wrapped", "ed25519": "resident"},
    ("softhsm", "resident"): {"ecdsa": "resident", "rsa": "resident", "ed25519": "resident"},
    ("nss", "auto"): {"ecdsa": "wrapped", "rsa": "wrapped"},
    ("nss", "resident"): {"ecdsa": "resident", "rsa": "resident"},
}
KEYWRAP = {"softhsm": "AES256-KWP", "nss": "AES256-KW-PKCS7"}


@pytest.fixture(scope="session")
def nss_token(tmp_path_factory: pytest.TempPathFactory) -> Nss:
    """A token of NSS, which the tests of this process share."""
    return nss.make(tmp_path_factory.mktemp("token") / "nss")


@pytest.fixture(params=KEPT, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, Mode]:
    """The module and how its keys are kept."""
    chosen: tuple[str, Mode] = request.param
    return chosen


@pytest.fixture
def settings(kind: tuple[str, Mode], request: pytest.FixtureRequest) -> TokenSettings:
    """How the signer uses that module."""
    module, mode = kind
    made: SoftHsm | Nss = request.getfixturevalue({"softhsm": "hsm", "nss": "nss_token"}[module])
    return made.settings(mode=mode)


@pytest.fixture
async def opened(settings: TokenSettings) -> AsyncIterator[HardwareToken]:
    """The token, in its process."""
    token = HardwareToken(settings, on_event=print)
    await token.open()
    yield token
    await token.close()


async def signs(token: HardwareToken, key: NewKey) -> bool:
    signature = await token.sign(key.key_id, key.algorithm, key.private, MESSAGE)
    return encoding.verifies(key.algorithm, key.public, signature, MESSAGE)


async def test_keys_sign_and_survive_the_process(kind: tuple[str, Mode], settings: TokenSettings) -> None:
    """Keys of every algorithm are kept as told, sign, and sign again in a process that was started anew."""
    first = HardwareToken(settings, on_event=print)
    assert first.state == "starting"
    assert await first.open() == KEPT[kind]
    assert (first.state, first.sessions) == ("ready", 1)
    keys = [await first.generate(algorithm, "a/b timestamp") for algorithm in KEPT[kind]]
    for key in keys:
        assert key.key_id == encoding.key_id(key.algorithm, key.public)
        assert key.private.keeping == KEPT[kind][key.algorithm]
        if key.private.keeping == "wrapped":
            assert (key.private.kek_label, key.private.keywrap) == (KEK_LABEL, KEYWRAP[kind[0]])
        assert await signs(first, key)
    assert first.handles == len(keys)
    await first.close()
    assert str(first.state) == "closed"
    with pytest.raises(TokenUnavailable, match="shutting down"):
        await signs(first, keys[0])
    second = HardwareToken(settings, on_event=print)
    await second.open()
    for key in keys:
        assert await signs(second, key)
    await second.ping()
    await second.close()


async def test_what_the_token_lacks_is_a_fault(kind: tuple[str, Mode], opened: HardwareToken) -> None:
    """An algorithm, a key or a KEK that is not there, or a damaged key, is not an outage; the others go on."""
    key = await opened.generate("ecdsa", "label")
    for algorithm in set(ALGORITHMS) - set(KEPT[kind]):
        with pytest.raises(TokenFault, match=algorithm):
            await opened.generate(algorithm, "label")
    parts = [
        PrivatePart("resident", "", b""),
        PrivatePart("wrapped", KEK_LABEL, bytes(80), key.private.keywrap),
        PrivatePart("wrapped", "no-such-kek", key.private.blob, key.private.keywrap),
    ]
    for number, part in enumerate(parts):
        with pytest.raises(TokenFault):
            await opened.sign(str(number) * 64, "ecdsa", part, MESSAGE)
    assert await signs(opened, key)
    await opened.ping()
    assert opened.state == "ready"


async def test_discarded_keys_are_gone_from_the_token(opened: HardwareToken) -> None:
    """A key that lost the race to the registry does not fill the token; another one is not touched."""
    lost, kept = await opened.generate("ecdsa", "lost"), await opened.generate("ecdsa", "kept")
    await opened.discard(lost)
    assert opened.handles == 1
    if lost.private.keeping == "resident":
        with pytest.raises(TokenFault, match="does not hold"):
            await signs(opened, lost)
    assert await signs(opened, kept)


async def test_many_callers_at_once(opened: HardwareToken) -> None:
    """All share the one session; every signature is that of its key, and callers that give up disturb nobody."""
    keys = [await opened.generate("ecdsa", "label") for _ in range(3)]
    impatient = [asyncio.ensure_future(signs(opened, key)) for key in keys * 5]
    patient = [asyncio.ensure_future(signs(opened, key)) for key in keys * 10]
    await asyncio.sleep(0)
    for task in impatient[::2]:
        task.cancel()
    assert all(await asyncio.gather(*patient, *impatient[1::2]))
