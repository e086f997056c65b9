"""Access by tokens as a whole: issuers, keys that change, what is remembered, what the log says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from notary_server.auth.access import ANONYMOUS, Identity, Level, Wanted
from notary_server.auth.cache import VerifiedTokens, digest_of
from notary_server.auth.issuers import Issuer
from notary_server.auth.key_files import KeyFileError, KeyFiles
from notary_server.auth.key_url import KeyUrl
from notary_server.auth.token.keys import KeyRing
from notary_server.auth.token.verify import Verified
from notary_server.auth.token_access import Policy, TokenAccess, TokenKeysUnavailable
from notary_server.errors import Unauthorized
from notary_server.tuf.names import Gun
from tests.http.running import SettableClock
from tests.support.tokens import ISSUER, REALM, SERVICE, Signer, access, claims, key_set

from .test_key_url import TokenService

SIGNER, OTHER = Signer(), Signer()
GUN = Gun("ex/app")


class Host:
    """A server's access to tokens of one issuer with a bundle, and of another with a key set."""

    def __init__(self, folder: Path, policy: Policy | None = None) -> None:
        self.clock = SettableClock()
        self.bundle, self.keys = folder / "bundle.pem", folder / "keys.json"
        self.bundle.write_bytes(SIGNER.pem)
        self.keys.write_bytes(key_set(OTHER))
        issuers = (
            Issuer(ISSUER, SERVICE, REALM, KeyFiles(self.bundle, None)),
            Issuer("second", "second service", "https://second/t", KeyFiles(None, self.keys)),
        )
        self.access = TokenAccess(issuers, policy or Policy(), self.clock)

    async def ask(self, token: str | None, level: Level = "pull", gun: str = GUN, **more: str) -> Identity:
        """Ask for access."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await self.access.authorize(Wanted(level, Gun(gun)), headers | more)

    async def refusal(
        self, token: str | None, level: Level = "pull", gun: str = GUN, **more: str
    ) -> Unauthorized:
        """Ask for access that is not given."""
        with pytest.raises(Unauthorized) as caught:
            await self.ask(token, level, gun, **more)
        return caught.value


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One of its own for each test."""
    return Host(tmp_path)


async def test_each_issuer_has_its_own_keys_service_and_realm(host: Host) -> None:
    """A key of one vouches for nothing in the name of the other."""
    second = claims(access(GUN, "pull"), iss="second", aud="second service")
    assert (await host.ask(SIGNER.token(claims(access(GUN, "pull"))))).issuer == ISSUER
    assert (await host.ask(OTHER.token(second, kid="key 0"))).issuer == "second"
    crossed = SIGNER.token(second)
    refused = await host.refusal(crossed)
    assert 'realm="https://second/t",service="second service"' in refused.challenge
    assert (await host.refusal(OTHER.token(second | {"aud": SERVICE}, kid="key 0"))).challenge.endswith(
        'error="invalid_token"'
    )
    stranger = await host.refusal(SIGNER.token(claims(iss="nobody")))
    assert stranger.challenge.startswith(f'Bearer realm="{REALM}",service="{SERVICE}"')


async def test_a_token_ends_also_when_it_is_remembered(host: Host) -> None:
    """What is remembered counts until the token's end and not longer."""
    token = SIGNER.token(claims(access(GUN, "pull")))
    for _ in range(3):
        assert (await host.ask(token)).name == "alice"
    host.clock.forward(1)
    assert "invalid_token" in (await host.refusal(token)).challenge


async def test_a_token_ends_with_its_key(host: Host) -> None:
    """When a key is taken out, what it signed is refused at once, remembered or not."""
    token = SIGNER.token(claims(access(GUN, "pull")))
    await host.ask(token)
    host.bundle.write_bytes(b"broken")
    host.keys.write_bytes(key_set(SIGNER))
    with pytest.raises(KeyFileError, match=r"bundle\.pem"):
        host.access.reload()
    await host.ask(token)
    # The other issuer's file was good.
    second = claims(access(GUN, "pull"), iss="second", aud="second service")
    await host.ask(SIGNER.token(second, kid="key 0"))
    host.bundle.write_bytes(OTHER.pem)
    assert host.access.reload()
    assert not host.access.reload()
    await host.refusal(token)
    assert host.access.paths == (host.bundle, host.keys)


@pytest.mark.parametrize("level", ["push", "admin", "catalog"])
async def test_anybody_may_read_what_is_public_and_nothing_else(tmp_path: Path, level: Level) -> None:
    """Only reading, only under the prefix, with no token or any."""
    host = Host(tmp_path, Policy(anonymous_pull=("public/",)))
    expired = SIGNER.token(claims(access("public/app", "pull"), exp=1))
    for token in (None, "garbage", expired):
        assert await host.ask(token, gun="public/app") is ANONYMOUS
        await host.refusal(token, level, "" if level == "catalog" else "public/app")
        for gun in ("public", "publicity/app", "Public/app", "private/public/app"):
            await host.refusal(token, gun=gun)


async def test_publishing_where_signing_is_apart_takes_both(tmp_path: Path) -> None:
    """A token that grants push alone publishes elsewhere; the challenge asks for what is missing."""
    host = Host(tmp_path, Policy(sign_prefixes=("prod/",)))
    pusher = SIGNER.token(claims(access("prod/app", "pull", "push"), access("dev/app", "pull", "push")))
    signer = SIGNER.token(claims(access("prod/app", "pull", "push", "sign")))
    owner = SIGNER.token(claims(access("prod/app", "*")))
    await host.ask(pusher, "push", "dev/app")
    await host.ask(pusher, "pull", "prod/app")
    refused = await host.refusal(pusher, "push", "prod/app")
    assert 'scope="repository:prod/app:pull,push,sign",error="insufficient_scope"' in refused.challenge
    assert (refused.subject, refused.issuer) == ("alice", ISSUER)
    for token in (signer, owner):
        await host.ask(token, "push", "prod/app")
    await host.refusal(SIGNER.token(claims(access("prod/app", "pull", "sign"))), "push", "prod/app")


async def test_the_realm_follows_the_host_where_that_is_wanted(tmp_path: Path) -> None:
    """A Host that is none leaves the configured realm."""
    host = Host(tmp_path, Policy(autoredirect=True))
    assert (
        'realm="https://t.example:4443/auth/token"'
        in (await host.refusal(None, host="t.example:4443")).challenge
    )
    assert f'realm="{REALM}"' in (await host.refusal(None, host='x",realm="https://evil')).challenge


async def test_the_log_says_why_and_never_holds_the_token(host: Host) -> None:
    """Reason, what was seen and what was wanted, under the ID of the request."""
    cases: list[tuple[str | None, str, dict[str, Any]]] = [
        (None, "no-token", {}),
        (SIGNER.token(claims(aud="x")), "audience", {"audience_seen": "x", "audience_wanted": SERVICE}),
        (SIGNER.token(claims(iss="x")), "issuer", {"issuer_seen": "x"}),
        (SIGNER.token(claims(), kid="ABCD"), "unknown-key", {"key_seen": "ABCD"}),
        (OTHER.token(claims(), kid=SIGNER.fingerprint), "signature", {"key": SIGNER.fingerprint}),
        (SIGNER.token(claims(access(GUN, "pull"))), "access", {"scope_had": f"repository:{GUN}:pull"}),
        (SIGNER.token(claims(), alg=None), "algorithm", {}),
    ]
    for token, reason, facts in cases:
        with (
            capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines,
            structlog.contextvars.bound_contextvars(**{"http.request.id": "abc"}),
        ):
            await host.refusal(token, "push")
        (line,) = lines
        assert (line["reason"], line["log_level"]) == (reason, "warning" if token else "info")
        assert line["http.request.id"] == "abc"
        assert line["wanted"] == f"repository:{GUN}:pull,push"
        assert facts.items() <= line.items()
        said = json.dumps(line, default=str)
        assert token is None or all(part not in said for part in token.split("."))


@pytest.mark.parametrize("with_file", [False, True])
async def test_keys_that_were_never_reached_are_no_reason_to_refuse(tmp_path: Path, with_file: bool) -> None:
    """Not to know is not to say no: 503, and the client comes again. What is in a file counts already."""
    (tmp_path / "bundle.pem").write_bytes(SIGNER.pem)
    files = KeyFiles(tmp_path / "bundle.pem" if with_file else None)
    address = KeyUrl("http://127.0.0.1:1/keys", None, 300)
    access_ = TokenAccess([Issuer(ISSUER, SERVICE, REALM, files, address)], Policy(), SettableClock())

    async def ask(token: str | None) -> Identity:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await access_.authorize(Wanted("pull", GUN), headers)

    for _ in range(2):
        with pytest.raises(TokenKeysUnavailable):
            await ask(OTHER.token(claims(access(GUN, "pull"))))
    with pytest.raises(Unauthorized):
        await ask(None)
    mine = SIGNER.token(claims(access(GUN, "pull")))
    if with_file:
        assert (await ask(mine)).name == "alice"
    else:
        with pytest.raises(TokenKeysUnavailable):
            await ask(mine)


async def test_a_new_key_at_the_address_counts_with_its_first_token() -> None:
    """Nobody waits for the next usual look, neither at the start nor later."""
    service = TokenService()
    service.body = key_set(SIGNER)
    address = KeyUrl(service.url, None, 300)
    access_ = TokenAccess([Issuer(ISSUER, SERVICE, REALM, KeyFiles(), address)], Policy(), SettableClock())

    async def ask(signer: Signer) -> str:
        token = signer.token(claims(access(GUN, "pull")))
        return (await access_.authorize(Wanted("pull", GUN), {"authorization": f"Bearer {token}"})).name

    async with access_.watching():
        assert await ask(SIGNER) == "alice"
        service.body = key_set(SIGNER, OTHER)
        assert await ask(OTHER) == "alice"
        assert service.asked == 2
        with pytest.raises(Unauthorized):
            await ask(Signer())
        assert service.asked == 2
    service.shutdown()
    service.server_close()


def test_what_is_remembered_is_bounded_and_holds_no_token() -> None:
    """The least recently used are forgotten first; the bytes of tokens decide."""
    known, ring = VerifiedTokens(kept_bytes=10_000), KeyRing()
    good = Verified(Identity("alice", "i"), {}, 100.0)
    names = [digest_of(f"token {number}") for number in range(10)]
    for name in names:
        known.put(name, 2000 - 512, good, ring)
    assert [known.get(name, 0) is not None for name in names] == [False] * 5 + [True] * 5
    known.put(names[9], 2000 - 512, good, ring)
    assert known.get(names[5], 0) is not None
    known.put(names[0], 2000 - 512, good, ring)
    assert known.get(names[5], 0) is not None
    assert known.get(names[6], 0) is None
    assert known.get(names[5], 100.0) is not None
    assert known.get(names[5], 100.5) is None
    known.put(names[1], 20_000, good, ring)
    assert known.get(names[1], 0) is None
