"""Tokens: bent after they were signed, bent and signed again, and with every header that could lead astray."""

from __future__ import annotations

import json
import random
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from notary_server.auth.token.keys import KeysError, read_bundle, read_jwks
from notary_server.auth.token.refusal import Reason, Refusal
from notary_server.auth.token.verify import Rules, Verified, read, verify
from tests.support.tokens import ISSUER, SERVICE, Signer, access, b64, claims, key_set

from .bending import AWKWARD, SEEDS, bent

NOW = time.time()
SIGNER = Signer()
STRANGER = Signer()
ROOT = Signer(ca=True)
RING = read_bundle(SIGNER.pem + ROOT.pem)
RULES = Rules(max_bytes=4096, max_entries=8)
HEADER = {"alg": "ES256", "typ": "JWT", "kid": SIGNER.fingerprint}
CLAIMS = claims(access("a/b", "pull", "push"), access("c", "*"))
KEY_SET = key_set(SIGNER, STRANGER)
STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 1e308, "", "none", "None", "HS256", "ES256", "RS256", "EdDSA", [], {}, [[]], ["x"], {"": {}},
    ISSUER, SERVICE, [SERVICE], SIGNER.fingerprint, STRANGER.fingerprint, STRANGER.jwk, [STRANGER.pem.decode()], "\ud800", "a" * 5000,
    int(NOW) - 10**6, int(NOW) + 10**6,
)  # fmt: skip
NAMES = (
    "alg",
    "typ",
    "kid",
    "jwk",
    "x5c",
    "jku",
    "x5u",
    "crit",
    "zip",
    "b64",
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "access",
)


def bent_bytes(data: st.DataObject) -> bool:
    """Some bytes of a good token are changed: it is the same token still, spelled otherwise, or it is refused."""
    good = SIGNER.token(CLAIMS)
    token = bent(data, good.encode(), (*AWKWARD, b".", b"=", b"==", b"-", b"_")).decode("latin-1")
    found = _judged(token)
    if isinstance(found, Refusal):
        return False
    before, after = (text.split(".") for text in (good, token))
    assert [_bytes(part) for part in before[:2]] == [_bytes(part) for part in after[:2]]
    return True


def bent_and_signed(data: st.DataObject) -> bool:
    """Strange headers and claims, signed by the right key or a stranger's; who is believed has said what we read."""
    chance = random.Random(data.draw(SEEDS))
    header: dict[str, Any] = dict(HEADER)
    body: dict[str, Any] = dict(CLAIMS)
    for _ in range(chance.randint(0, 3)):
        chosen = chance.choice((header, body))
        chosen[chance.choice(NAMES)] = chance.choice(STRANGE)
        if chance.randrange(4) == 0:
            chosen.pop(chance.choice(NAMES), None)
    signer = chance.choice((SIGNER, SIGNER, SIGNER, STRANGER))
    signed = f"{_part(header)}.{_part(body)}"
    signature = chance.choice((lambda: signer.sign(signed.encode(), "ES256"), lambda: b""))()
    found = _judged(f"{signed}.{b64(signature)}")
    if isinstance(found, Refusal):
        return False
    assert signer is SIGNER
    assert signature
    assert header["alg"] == "ES256"
    assert SERVICE in (body["aud"] if isinstance(body["aud"], list) else [body["aud"]])
    assert body["exp"] + RULES.leeway >= NOW
    assert body.get("nbf") is None or body["nbf"] - RULES.leeway <= NOW
    assert found.identity.issuer == (body.get("iss") or "")
    assert sum(map(len, found.grants.values())) <= sum(
        len(one.get("actions") or ()) for one in body.get("access") or ()
    )
    return True


def key_sets(data: st.DataObject) -> bool:
    """A bent key set is read or refused, and holds no private key."""
    try:
        ring = read_jwks(bent(data, KEY_SET))
    except KeysError:
        return False
    assert not any(key.jose.is_private for key in ring.named.values())
    return True


def _judged(token: str) -> Verified | Refusal:
    """What becomes of it; a refusal is one of the known ones, and does not repeat the token."""
    unverified = read(token, RULES)
    found = unverified if isinstance(unverified, Refusal) else verify(unverified, SERVICE, RING, RULES, NOW)
    if isinstance(found, Refusal):
        assert isinstance(found.reason, Reason)
        assert len(found.text) < 1500
        assert all(part not in found.text for part in token.split(".") if len(part) > 40)
    return found


def _part(members: Mapping[str, Any]) -> str:
    return b64(json.dumps(members).encode())


def _bytes(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
