"""Several signers: who is asked next, when one is left out, how it comes back, and what counts as an answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from notary_server.errors import SignerRefused, SignerUnavailable, TooManyKeys
from notary_server.http.render import render
from notary_server.metrics import Metrics
from notary_server.signing import signers as module
from notary_server.signing.circuit import STRIKES
from notary_server.signing.remote_signer import HttpSigner
from notary_server.signing.transport import Endpoint
from notary_server.tuf.model import HeldKey, PublicKey, SigningOrder
from notary_server.tuf.names import TIMESTAMP, Gun, KeyId

from .canned import KEY, Behaviour, canned

DEADLINE = 20.0


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("behaviour", "kind", "opens"),
    [
        ("closed", "connection", True),
        ("silent", "timeout", False),
        ("garbage", "fault", False),
        ((503, "TOKEN_UNAVAILABLE"), "not_ready", False),
        ((502, "INTERNAL"), "not_ready", False),
        ((500, "INTERNAL"), "fault", False),
    ],
)
async def test_the_next_one_answers(behaviour: Behaviour, kind: str, opens: bool) -> None:
    """Whatever is no answer is followed by a call of the other, counted by kind; only a sure sign opens the circuit."""
    async with canned(2, seconds=1.0) as side:
        bad, good = side.signers
        gun = await side.home(bad)
        before = len(good.asked)
        bad.behaviour = behaviour
        await side.create(gun)
        assert len(good.asked) == before + 1
        assert side.metric("failures_total", bad, kind=kind) == 1
        assert side.metric("failovers_total", bad) == 1
        assert side.metric("seconds_count", bad, operation="create") >= 2
        assert side.is_open(bad) == opens


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((403, "CLIENT_REFUSED"), SignerRefused),
        ((403, "KEY_REFUSED"), SignerRefused),
        ((404, "KEY_UNKNOWN"), SignerRefused),
        ((400, "BAD_REQUEST"), SignerRefused),
        ((429, "TOO_MANY_KEYS"), TooManyKeys),
    ],
)
async def test_a_no_is_an_answer(answer: Behaviour, error: type[Exception]) -> None:
    """Nobody else is asked: the others share the registry and the policy."""
    async with canned(2) as side:
        gun = await side.home(side.signers[0])
        before = len(side.signers[1].asked)
        side.signers[0].behaviour = answer
        with pytest.raises(error):
            await side.create(gun)
        assert len(side.signers[1].asked) == before
        assert not side.is_open(side.signers[0])


async def test_too_many_keys_is_told_with_the_signers_own_time() -> None:
    """503 with its Retry-After, and words for those who read them."""
    async with canned(1) as side:
        side.signers[0].behaviour = (429, "TOO_MANY_KEYS")
        with pytest.raises(TooManyKeys) as caught:
            await side.create("gun")
        answer = render(caught.value)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "77")
        assert b"too many new keys" in answer.body


async def test_a_call_that_two_signers_fail_at_is_refused() -> None:
    """A third is not asked: it is the call. But if one could not be asked, it might have been the one that can."""
    async with canned(3) as side:
        for signer in side.signers:
            signer.behaviour = (500, "INTERNAL")
        with pytest.raises(SignerRefused):
            await side.create("gun")
        assert sum(len(signer.asked) for signer in side.signers) == 2
        side.signers[0].behaviour = "closed"
        for signer in side.signers[1:]:
            await signer.stop()
        side.signers[1].behaviour = (500, "INTERNAL")
        await side.signers[1].listen()
        with pytest.raises(SignerUnavailable, match="none of 3 signers"):
            await side.create("gun")


async def test_could_not_ask_is_never_unknown() -> None:
    """An unknown key is one that a signer answered about."""
    unknown = KeyId("0" * 64)
    async with canned(2) as side:
        assert await side.client.describe_keys([unknown]) == {}
        await side.signers[0].stop()
        assert await side.client.describe_keys([unknown]) == {}
        side.signers[1].behaviour = (503, "TOKEN_UNAVAILABLE")
        with pytest.raises(SignerUnavailable):
            await side.client.describe_keys([unknown])


async def test_a_hung_signer_takes_a_share_of_the_time_and_is_then_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of the first calls waits for it and is answered by the other; after a few, none waits any more."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    async with canned(2) as side:
        hung = side.signers[0]
        gun = await side.home(hung)
        hung.behaviour = "silent"
        for _ in range(STRIKES):
            assert not side.is_open(hung)
            await side.create(gun)
        assert side.is_open(hung)
        before = len(hung.asked)
        await side.create(gun)
        assert len(hung.asked) == before
        assert side.metric("failures_total", hung, kind="timeout") == STRIKES


async def test_a_dead_signer_is_probed_and_comes_back() -> None:
    """No call has to find out: calls go to the other one until the probe was answered, then to both again."""
    async with canned(2) as side:
        dead = side.signers[0]
        gun = await side.home(dead)
        await dead.stop()
        await side.create(gun)
        assert side.is_open(dead)
        failovers = side.metric("failovers_total", dead)
        for _ in range(5):
            await side.create(gun)
        assert side.metric("failovers_total", dead) == failovers
        await dead.listen()
        await _until(lambda: not side.is_open(dead))
        assert dead.probed
        before = len(dead.asked)
        await side.create(gun)
        assert len(dead.asked) == before + 1


async def test_with_all_circuits_open_calls_still_try() -> None:
    """The first signer that is back serves the next call, whether it was probed yet or not."""
    async with canned(2) as side:
        for signer in side.signers:
            await signer.stop()
        with pytest.raises(SignerUnavailable):
            await side.create("gun")
        assert all(map(side.is_open, side.signers))
        await side.signers[1].listen()
        await side.create("gun")
        assert not side.is_open(side.signers[1])


async def test_one_that_was_left_out_is_asked_before_a_call_is_given_up() -> None:
    """The healthy one hangs just when the other one is back and nobody knows yet."""
    async with canned(2, seconds=1.0) as side:
        away, hung = side.signers
        await away.stop()
        await side.client.ping()
        assert side.is_open(away)
        await side.client.close()  # nobody probes
        hung.behaviour = "silent"
        await away.listen()
        await side.create("gun")
        assert not side.is_open(away)
        assert side.metric("failures_total", hung, kind="timeout") == 1


async def test_a_lonely_signer_has_all_the_time_and_an_open_one_only_a_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is known not to answer does not keep clients for the whole deadline."""
    monkeypatch.setattr(module, "LAST_RESORT", 0.05)
    async with canned(1, seconds=3600.0) as side:
        await side.signers[0].stop()
        with pytest.raises(SignerUnavailable):
            await side.create("gun")
        side.signers[0].behaviour = "silent"
        await side.signers[0].listen()
        with pytest.raises(SignerUnavailable, match="in time"):
            await side.create("gun")


async def test_work_is_spread_and_a_repository_has_a_home() -> None:
    """Alone, calls of one repository go to one signer; with many at once, to whoever has least to do."""
    async with canned(3) as side:
        gun = await side.home(side.signers[2])
        asked = [len(signer.asked) for signer in side.signers]
        for _ in range(5):
            await side.create(gun)
        assert [len(signer.asked) for signer in side.signers] == [asked[0], asked[1], asked[2] + 5]
        for signer in side.signers:
            signer.release.clear()
        before = [len(signer.asked) for signer in side.signers]
        calls = [asyncio.create_task(side.create(gun)) for _ in range(30)]
        await _until(lambda: sum(len(one.asked) for one in side.signers) == sum(before) + 30)
        assert [len(one.asked) - was for one, was in zip(side.signers, before, strict=True)] == [10, 10, 10]
        for signer in side.signers:
            signer.release.set()
        await asyncio.gather(*calls)


async def test_health_is_good_while_one_works_and_names_all_that_do_not() -> None:
    """A health check also finds out about a signer that no call has met yet."""
    async with canned(2) as side:
        first, second = side.signers
        await first.stop()
        await side.client.ping()
        assert side.is_open(first)
        second.behaviour = (503, "TOKEN_UNAVAILABLE")
        with pytest.raises(SignerUnavailable) as caught:
            await side.client.ping()
        assert side.is_open(second)
        assert first.name in caught.value.message
        assert f"{second.name}: it is not ready: so it is" in caught.value.message


async def test_retiring_twice_and_what_is_not_held() -> None:
    """What the signer does not hold, or not for this repository, is nothing to be retired; other refusals are errors."""
    async with canned(1) as side:
        signer = side.signers[0]
        assert await side.client.retire_key(Gun("gun"), KeyId(KEY))
        for answer in ((404, "KEY_UNKNOWN"), (403, "KEY_REFUSED")):
            signer.behaviour = answer
            assert not await side.client.retire_key(Gun("gun"), KeyId(KEY))
        signer.behaviour = (403, "CLIENT_REFUSED")
        with pytest.raises(SignerRefused):
            await side.client.retire_key(Gun("gun"), KeyId(KEY))
        signer.behaviour = "good"
        with pytest.raises(SignerRefused, match="did not retire"):
            await side.client.retire_key(Gun("gun"), KeyId("0" * 64))


async def test_a_refused_signature_says_why() -> None:
    """The signer's words about the key, not those about a lost one."""
    async with canned(1) as side:
        key = HeldKey(KeyId(KEY), PublicKey("ecdsa", b""), Gun("gun"), TIMESTAMP)
        side.signers[0].behaviour = (403, "KEY_REFUSED")
        order = SigningOrder(Gun("gun"), TIMESTAMP, 1, b"payload", (key,))
        with pytest.raises(SignerRefused):
            await side.client.sign(order)


async def test_every_call_asks_for_the_tls_context_and_kept_connections_go_on() -> None:
    """So a renewed certificate is used from the next call on, and as long as there is none, so is the connection."""
    async with canned(1) as side:
        asked: list[int] = []

        def context() -> ssl.SSLContext | None:
            asked.append(0)
            return None

        (signer,) = side.signers
        endpoint = Endpoint(f"http://{signer.name}", context)
        client = HttpSigner([endpoint], 4.0, Metrics().signers)
        for _ in range(3):
            await client.create_key(Gun("gun"), TIMESTAMP, "ecdsa")
        assert (len(asked), signer.connections) == (3, 1)
        await signer.stop()
        await signer.listen()
        await client.create_key(Gun("gun"), TIMESTAMP, "ecdsa")
        assert (len(asked), signer.connections) == (4, 2)
        await client.close()
