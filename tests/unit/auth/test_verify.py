"""Which tokens are believed: a table of single changes to a good one, and what holds for all bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from notary_server.auth.token.algorithms import ALGORITHMS
from notary_server.auth.token.keys import KeyRing, read_bundle, read_jwks
from notary_server.auth.token.refusal import Reason, Refusal
from notary_server.auth.token.verify import Rules, Verified, read, verify
from tests.support.tokens import ISSUER, SERVICE, Signer, access, b64, certified, key_set
from tests.support.tokens import claims as claims_now

NOW = time.time()


def claims(*entries: Any, **changes: Any) -> dict[str, Any]:
    """Good claims at `NOW`, however long the other tests take until these run."""
    moment = int(NOW)
    return claims_now(*entries, **{"exp": moment + 300, "nbf": moment - 10, "iat": moment, **changes})


PULL = access("g", "pull")
SIGNER = Signer()
OTHER = Signer()
RSA = Signer(rsa.generate_private_key(65537, 2048))
ED = Signer(ed25519.Ed25519PrivateKey.generate())
ROOT = Signer(ca=True)
MIDDLE = certified(ROOT, ca=True)
RING = read_bundle(SIGNER.pem + RSA.pem + ROOT.pem)
USUAL = Rules()
EVERY = Rules(algorithms=frozenset(ALGORITHMS))


def outcome(
    token: str,
    ring: KeyRing = RING,
    rules: Rules = USUAL,
    now: float = NOW,
) -> Verified | Refusal:
    """What becomes of a token."""
    unverified = read(token, rules)
    return unverified if isinstance(unverified, Refusal) else verify(unverified, SERVICE, ring, rules, now)


def reason(token: str, **settings: Any) -> Reason | None:
    """Why it is refused; None if it is believed."""
    found = outcome(token, **settings)
    return found.reason if isinstance(found, Refusal) else None


def test_a_good_token_says_who_sends_it_and_what_they_may() -> None:
    """Subject, issuer, grants and end are the token's; entries for one resource add up."""
    found = outcome(SIGNER.token(claims(PULL, access("g", "push"), access("h", "*"), exp=int(NOW) + 9)))
    assert isinstance(found, Verified)
    assert (found.identity.name, found.identity.issuer) == ("alice", ISSUER)
    assert found.grants == {("repository", "g"): {"pull", "push"}, ("repository", "h"): {"*"}}
    assert found.until == int(NOW) + 9 + 60


def test_a_token_is_good_no_longer_than_any_certificate_that_vouches_for_it() -> None:
    """Also where it is remembered: not only the leaf's end counts."""
    short = certified(ROOT, ca=True, not_after=DAYS / 2)
    token = certified(short, not_after=DAYS)
    found = outcome(token.token(claims(PULL, exp=2**40), x5c=token.chain(short), kid=None))
    assert isinstance(found, Verified)
    assert found.until == short.certificate.not_valid_after_utc.timestamp()


@pytest.mark.parametrize(
    ("signer", "algorithm"),
    [
        *((RSA, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (Signer(ec.generate_private_key(ec.SECP256R1())), "ES256"),
        (Signer(ec.generate_private_key(ec.SECP384R1())), "ES384"),
        (Signer(ec.generate_private_key(ec.SECP521R1())), "ES512"),
        (ED, "EdDSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_algorithm_verifies_and_only_where_it_is_allowed(signer: Signer, algorithm: str) -> None:
    """The usual six by default, the others where the configuration says so."""
    ring, token = read_jwks(key_set(signer)), signer.token(claims(PULL), alg=algorithm)
    assert reason(token, ring=ring, rules=EVERY) is None
    usual = algorithm[:2] in {"ES", "RS"}
    assert reason(token, ring=ring) is (None if usual else Reason.ALGORITHM)
    less = Rules(algorithms=frozenset(ALGORITHMS) - {algorithm})
    assert reason(token, ring=ring, rules=less) is Reason.ALGORITHM


def test_a_key_goes_by_each_of_its_names() -> None:
    """libtrust's fingerprint, RFC 7638's thumbprint, and the kid of a key set."""
    ring = read_jwks(key_set(OTHER, SIGNER))
    for kid in (SIGNER.fingerprint, SIGNER.thumbprint, "key 1"):
        assert reason(SIGNER.token(claims(PULL), kid=kid), ring=ring) is None
    assert reason(SIGNER.token(claims(PULL), kid=SIGNER.thumbprint)) is None
    assert reason(SIGNER.token(claims(PULL), kid="key 0"), ring=ring) is Reason.SIGNATURE
    assert reason(OTHER.token(claims(PULL), kid="key 1"), ring=ring) is Reason.SIGNATURE


def leaf_token(above: Signer, *between: Signer, **dates: Any) -> str:
    """A token of a key whose certificate `above` has signed."""
    leaf = certified(above, **dates)
    return leaf.token(claims(PULL), x5c=leaf.chain(*between), kid=None)


def jwk_token(x5c: list[str] | None = None) -> str:
    """A token whose jwk brings its certificates."""
    leaf = certified(ROOT)
    return leaf.token(claims(PULL), jwk=leaf.jwk | {"x5c": x5c or leaf.chain()})


def respelled(algorithm: Any) -> str:
    """A token whose signature is good, if only the header said the truth."""
    header = b64(json.dumps({"alg": algorithm, "kid": SIGNER.fingerprint}).encode())
    signed = f"{header}.{b64(json.dumps(claims(PULL)).encode())}"
    return f"{signed}.{b64(SIGNER.sign(signed.encode(), 'ES256'))}"


def public_pem() -> bytes:
    """The public key, as anybody can have it."""
    return SIGNER.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def padded(token: str) -> str:
    """A token with the padding that some libraries leave on; what was signed has none."""
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{signature}{'=' * (-len(signature) % 4)}"


def shortened(signature: str = "AA") -> str:
    """A token with another signature."""
    return SIGNER.token(claims(PULL)).rpartition(".")[0] + "." + signature


DAYS = timedelta(days=1)
CHANGES: dict[str, tuple[Callable[[], str], Reason | None]] = {
    "x5c of a bundled certificate": (lambda: SIGNER.token(claims(PULL), x5c=SIGNER.chain(), kid=None), None),
    "x5c wins over kid": (lambda: SIGNER.token(claims(PULL), x5c=SIGNER.chain(), kid="no such"), None),
    "x5c below a bundled one": (lambda: leaf_token(ROOT), None),
    "x5c with an intermediate": (lambda: leaf_token(MIDDLE, MIDDLE), None),
    "x5c without its intermediate": (lambda: leaf_token(MIDDLE), Reason.CHAIN),
    "x5c below a stranger": (lambda: leaf_token(Signer(ca=True)), Reason.CHAIN),
    "x5c below no authority": (lambda: leaf_token(SIGNER), Reason.CHAIN),
    "x5c that has ended": (lambda: leaf_token(ROOT, not_before=-2 * DAYS, not_after=-DAYS), Reason.CHAIN),
    "x5c that has not begun": (lambda: leaf_token(ROOT, not_before=DAYS), Reason.CHAIN),
    "x5c, signed by another": (lambda: OTHER.token(claims(PULL), x5c=SIGNER.chain()), Reason.SIGNATURE),
    "x5c empty": (lambda: SIGNER.token(claims(PULL), x5c=[]), None),
    "x5c of a stranger": (lambda: OTHER.token(claims(PULL), x5c=OTHER.chain()), Reason.CHAIN),
    "x5c no list": (lambda: SIGNER.token(claims(PULL), x5c="x"), Reason.MALFORMED),
    "x5c of numbers": (lambda: SIGNER.token(claims(PULL), x5c=[1]), Reason.MALFORMED),
    "x5c of garbage": (lambda: SIGNER.token(claims(PULL), x5c=["AAAA"]), Reason.MALFORMED),
    "x5c of nine": (lambda: SIGNER.token(claims(PULL), x5c=SIGNER.chain() * 9), Reason.MALFORMED),
    "jwk of a bundled key": (lambda: SIGNER.token(claims(PULL), jwk=SIGNER.jwk, kid=None), None),
    "jwk with its name": (lambda: SIGNER.token(claims(PULL), jwk=SIGNER.jwk | {"kid": SIGNER.fingerprint}), None),
    "jwk with another name": (
        lambda: SIGNER.token(claims(PULL), jwk=SIGNER.jwk | {"kid": RSA.fingerprint}), Reason.KEY_MISMATCH,
    ),
    "jwk of a stranger": (lambda: OTHER.token(claims(PULL), jwk=OTHER.jwk), Reason.UNKNOWN_KEY),
    "jwk of a stranger, name of a bundled key": (
        lambda: OTHER.token(claims(PULL), jwk=OTHER.jwk | {"kid": SIGNER.fingerprint}), Reason.KEY_MISMATCH,
    ),
    "jwk with x5c": (jwk_token, None),
    "jwk with a stranger's x5c": (lambda: jwk_token(x5c=SIGNER.chain()), Reason.CHAIN),
    "jwk symmetric": (lambda: SIGNER.token(claims(PULL), jwk={"kty": "oct", "k": "AA"}), Reason.MALFORMED),
    "jwk garbage": (lambda: SIGNER.token(claims(PULL), jwk={"kty": "EC", "crv": 1}), Reason.MALFORMED),
    "jwk no object": (lambda: SIGNER.token(claims(PULL), jwk="x"), Reason.MALFORMED),
    "no key named": (lambda: SIGNER.token(claims(PULL), kid=None), Reason.NO_KEY),
    "unknown kid": (lambda: SIGNER.token(claims(PULL), kid="ABCD"), Reason.UNKNOWN_KEY),
    "kid a number": (lambda: SIGNER.token(claims(PULL), kid=7), Reason.UNKNOWN_KEY),
    "kid a list": (lambda: SIGNER.token(claims(PULL), kid=["x"]), Reason.UNKNOWN_KEY),
    "wrong key": (lambda: OTHER.token(claims(PULL), kid=SIGNER.fingerprint), Reason.SIGNATURE),
    "alg none": (lambda: SIGNER.unsigned_token(claims(PULL)), Reason.ALGORITHM),
    "alg None": (lambda: SIGNER.unsigned_token(claims(PULL), "None"), Reason.ALGORITHM),
    "alg in another case": (lambda: respelled("es256"), Reason.ALGORITHM),
    "alg missing": (lambda: SIGNER.token(claims(PULL), alg=None), Reason.ALGORITHM),
    "alg a list": (lambda: respelled(["ES256"]), Reason.ALGORITHM),
    "alg of another kind of key": (lambda: respelled("RS256"), Reason.KEY_MISMATCH),
    "alg of another curve": (lambda: respelled("ES384"), Reason.KEY_MISMATCH),
    "HS256 with the certificate": (
        lambda: SIGNER.shared_secret_token(claims(PULL), SIGNER.pem), Reason.ALGORITHM,
    ),
    "HS256 with the public key": (
        lambda: SIGNER.shared_secret_token(claims(PULL), public_pem()), Reason.ALGORITHM,
    ),
    "crit": (lambda: SIGNER.token(claims(PULL), crit=["exp"]), Reason.MALFORMED),
    "typ missing": (lambda: SIGNER.token(claims(PULL), typ=None), None),
    "unknown header members": (lambda: SIGNER.token(claims(PULL), zip="x", cty={"a": [1]}), None),
    "audience in a list": (lambda: SIGNER.token(claims(PULL, aud=["x", SERVICE])), None),
    "another audience": (lambda: SIGNER.token(claims(PULL, aud="the trust serve")), Reason.AUDIENCE),
    "other audiences": (lambda: SIGNER.token(claims(PULL, aud=["x", "y"])), Reason.AUDIENCE),
    "no audience": (lambda: SIGNER.token(claims(PULL, aud=None)), Reason.AUDIENCE),
    "audience a number": (lambda: SIGNER.token(claims(PULL, aud=1)), Reason.MALFORMED),
    "expired within the leeway": (lambda: SIGNER.token(claims(PULL, exp=int(NOW) - 59)), None),
    "expired": (lambda: SIGNER.token(claims(PULL, exp=int(NOW) - 61)), Reason.EXPIRED),
    "no end": (lambda: SIGNER.token(claims(PULL, exp=None)), Reason.EXPIRED),
    "end a float": (lambda: SIGNER.token(claims(PULL, exp=NOW + 9.5)), Reason.MALFORMED),
    "end true": (lambda: SIGNER.token(claims(PULL, exp=True)), Reason.MALFORMED),
    "end a string": (lambda: SIGNER.token(claims(PULL, exp="9999999999")), Reason.MALFORMED),
    "end beyond 64 bits": (lambda: SIGNER.token(claims(PULL, exp=2**63)), Reason.MALFORMED),
    "end of thousands of digits": (
        lambda: SIGNER.token(b'{"exp":1' + b"0" * 5000 + b"}"), Reason.MALFORMED,
    ),
    "begins within the leeway": (lambda: SIGNER.token(claims(PULL, nbf=int(NOW) + 60)), None),
    "not yet valid": (lambda: SIGNER.token(claims(PULL, nbf=int(NOW) + 70)), Reason.NOT_YET_VALID),
    "no beginning": (lambda: SIGNER.token(claims(PULL, nbf=None)), None),
    "jti a number": (lambda: SIGNER.token(claims(PULL, jti=1)), Reason.MALFORMED),
    "sub a list": (lambda: SIGNER.token(claims(PULL, sub=["root"])), Reason.MALFORMED),
    "null access": (lambda: SIGNER.token(claims(None)), Reason.MALFORMED),
    "null among accesses": (lambda: SIGNER.token(claims(PULL, None)), Reason.MALFORMED),
    "access no list": (lambda: SIGNER.token(claims(access={"a": 1})), Reason.MALFORMED),
    "actions a string": (lambda: SIGNER.token(claims({**PULL, "actions": "pull"})), Reason.MALFORMED),
    "null among actions": (lambda: SIGNER.token(claims({**PULL, "actions": [None]})), Reason.MALFORMED),
    "actions null": (lambda: SIGNER.token(claims({**PULL, "actions": None})), None),
    "name a number": (lambda: SIGNER.token(claims({**PULL, "name": 1})), Reason.MALFORMED),
    "256 accesses": (lambda: SIGNER.token(claims(*[{"name": "x"}] * 256)), None),
    "257 accesses": (lambda: SIGNER.token(claims(*[{"name": "x"}] * 257)), Reason.TOO_LARGE),
    "too long": (lambda: SIGNER.token(claims(PULL, pad="x" * 13000)), Reason.TOO_LARGE),
    "nested": (lambda: SIGNER.token(claims(PULL, extra=nested(15))), None),
    "nested too deep": (lambda: SIGNER.token(claims(PULL, extra=nested(16))), Reason.MALFORMED),
    "nested beyond the interpreter": (
        lambda: SIGNER.token(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), Reason.MALFORMED,
    ),
    "header nested beyond the interpreter": (
        lambda: f"{b64(b'[' * 6000)}.{b64(b'{}')}.AAAA", Reason.MALFORMED,
    ),
    "claims no object": (lambda: SIGNER.token([]), Reason.MALFORMED),
    "claims twice": (lambda: SIGNER.token(b'{"iss":"a","iss":"b"}'), Reason.MALFORMED),
    "claims with NaN": (lambda: SIGNER.token(b'{"x":NaN}'), Reason.MALFORMED),
    "claims not UTF-8": (lambda: SIGNER.token(b'{"x":"\xff"}'), Reason.MALFORMED),
    "two parts": (lambda: SIGNER.token(claims(PULL)).rpartition(".")[0], Reason.MALFORMED),
    "five parts": (lambda: SIGNER.token(claims(PULL)) + ".a.b", Reason.MALFORMED),
    "garbage": (lambda: "garbage", Reason.MALFORMED),
    "empty parts": (lambda: "..", Reason.MALFORMED),
    "padding": (lambda: padded(SIGNER.token(claims(PULL))), None),
    "other base64": (lambda: SIGNER.token(claims(PULL)).replace(".", ".+", 1), Reason.MALFORMED),
    "a signature of one byte": (shortened, Reason.SIGNATURE),
    "a signature of zeros": (lambda: shortened("A" * 86), Reason.SIGNATURE),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_token_is_believed_or_refused_for_its_reason(name: str) -> None:
    """Each change alone decides."""
    make, expected = CHANGES[name]
    token = make()
    found = outcome(token)
    assert (found.reason if isinstance(found, Refusal) else None) is expected, found
    if isinstance(found, Refusal):
        told = found.text + json.dumps(dict(found.facts))
        assert all(part not in told for part in token.split(".") if len(part) > 20)


@given(st.text(max_size=200) | st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(
    lambda parts: ".".join(map(b64, parts))
))  # fmt: skip
def test_no_bytes_are_believed_or_raise(token: str) -> None:
    """Whatever comes is refused with a reason."""
    assert reason(token) is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_HEADERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("alg", "kid", "jwk", "x5c", "typ", "crit"), _JSON)
)  # fmt: skip
_NAMES = ("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "access")


@settings(max_examples=300)
@given(_HEADERS, st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _JSON)))
def test_no_json_is_believed_or_raises(header: dict[str, Any], said: dict[str, Any]) -> None:
    """Nor does any JSON under the names that matter, unsigned or signed by a stranger."""
    parts = [b64(json.dumps(part).encode()) for part in ({"alg": "ES256"} | header, said)]
    signature = b64(OTHER.sign(".".join(parts).encode(), "ES256"))
    assert reason(".".join([*parts, signature])) is not None


@settings(max_examples=150)
@given(st.data())
def test_no_changed_bit_is_believed(data: st.DataObject) -> None:
    """A good token with one character changed is refused, unless it still spells the same bytes."""
    place = data.draw(st.integers(0, len(GOOD) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_"))
    changed = GOOD[:place] + letter + GOOD[place + 1 :]
    # The last characters of a part have bits that mean nothing.
    if changed != GOOD and place + 1 < len(GOOD):
        assert reason(changed) is not None


GOOD = SIGNER.token(claims(PULL, exp=int(NOW) + 3600))


@given(st.integers(-400, 400), st.integers(0, 300))
def test_the_leeway_counts_at_both_ends(seconds: int, leeway: int) -> None:
    """A token is good from `nbf` less the leeway to `exp` plus the leeway, both included."""
    start, end = 1_000_000, 1_000_100
    token = SIGNER.token(claims(PULL, nbf=start, exp=end))
    now = start + seconds
    expected = start - leeway <= now <= end + leeway
    assert (reason(token, ring=UNDATED, rules=Rules(leeway=leeway), now=float(now)) is None) is expected


UNDATED = read_jwks(key_set(SIGNER))
