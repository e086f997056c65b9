"""Thresholds: which keys signed, and were they enough (docs/reference/protocol.md, 6 and 24.14)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from notary_server.tuf import parse, verify
from notary_server.tuf.model import Parsed, PublicKey, Targets
from notary_server.tuf.names import RoleName
from notary_server.tuf.verify import BadSignaturesError
from tests.publisher import Key, ecdsa_key, ed25519_key, file_of, root_key
from tests.unit.tuf import documents

POOL: list[Key] = [ecdsa_key(), ed25519_key(), ecdsa_key("P-384"), ecdsa_key()]


def parsed(*signers: Key, **knobs: Any) -> Parsed[Targets]:
    """Targets signed by these keys."""
    return parse.parse_targets(RoleName("targets"), file_of(documents.targets()["signed"], signers, **knobs))


def filed(*keys: Key) -> dict[str, PublicKey]:
    """Keys by their IDs."""
    return {key.id: PublicKey(key.keytype, key.public) for key in keys}


def why_not(file: Parsed[Targets], keys: dict[str, PublicKey], threshold: int = 1) -> str:
    """Why a file is not trusted."""
    with pytest.raises(BadSignaturesError) as caught:
        verify.trust(file, keys, list(keys), threshold)
    return str(caught.value)


@given(st.lists(st.sampled_from(POOL)), st.sets(st.sampled_from(range(4)), min_size=1), st.integers(1, 5))
def test_threshold(signers: list[Key], members: set[int], threshold: int) -> None:
    """A file is trusted exactly if enough different keys of the role signed it, however often and in whatever order."""
    keys = filed(*(POOL[number] for number in members))
    file = parsed(*signers)
    counted = len({signer.id for signer in signers} & keys.keys())
    if signers and counted >= threshold:
        assert verify.trust(file, keys, list(keys), threshold).parsed is file
    else:
        assert why_not(file, keys, threshold)


def test_the_text_counts() -> None:
    """The refusal says how many signatures there are and how many are needed."""
    assert why_not(parsed(POOL[0], POOL[1]), filed(POOL[0], POOL[2]), 2) == (
        "it has 1 valid signatures of distinct keys where 2 are needed"
    )


def test_no_signatures() -> None:
    """A file without signatures is refused."""
    assert why_not(parsed(), filed(POOL[0])) == "it has no signatures"


def test_keys_must_be_listed_for_the_role() -> None:
    """A key that is there, but not listed for the role, does not count; one that is listed but not there is no matter."""
    keys = filed(*POOL)
    with pytest.raises(BadSignaturesError):
        verify.trust(parsed(POOL[0]), keys, [POOL[1].id], 1)
    verify.trust(parsed(POOL[0]), keys, [POOL[0].id, "missing"], 1)


def test_a_key_listed_twice_counts_once() -> None:
    """The same ID twice in a role is one key."""
    with pytest.raises(BadSignaturesError):
        verify.trust(parsed(POOL[0]), filed(POOL[0]), [POOL[0].id, POOL[0].id], 2)


def test_misfiled_key_that_signed() -> None:
    """A signature by an ID under which another key is filed ends the verification, though others would do."""
    keys = filed(POOL[0]) | {POOL[1].id: PublicKey(POOL[2].keytype, POOL[2].public)}
    assert "not its own" in why_not(parsed(POOL[0], POOL[1]), keys)


def test_misfiled_key_that_nobody_uses() -> None:
    """A misfiled key without a signature is not noticed."""
    keys = filed(POOL[0]) | {"wrong": PublicKey(POOL[2].keytype, POOL[2].public)}
    verify.trust(parsed(POOL[0]), keys, list(keys), 1)


def test_useless_signatures_are_skipped() -> None:
    """Signatures by unknown keys, unknown methods, or over something else do no harm."""

    def more(made: list[dict[str, str]]) -> list[dict[str, str]]:
        bad = made[1] | {"sig": made[2]["sig"]}
        return [bad, made[1] | {"method": "hmac"}, {"keyid": "x", "method": "", "sig": ""}, made[0]]

    file = parsed(*POOL[:3], signatures=more)
    verify.trust(file, filed(*POOL), [key.id for key in POOL], 1)
    assert "has 1 valid" in why_not(file, filed(*POOL), 2)


def test_signature_over_other_bytes() -> None:
    """A signature over the file as it travels, instead of its canonical form, does not count."""
    assert why_not(parsed(POOL[0], sign_over=lambda message: message + b"\n"), filed(POOL[0]))


def test_two_certificates_over_one_key() -> None:
    """Two certificates, or a certificate and a bare key, with the same private key count once, for every role."""
    first = root_key("x")
    second = root_key("x", first.private)
    other = root_key("x")
    assert first.id != second.id
    assert "has 1 valid" in why_not(parsed(first, second), filed(first, second), 2)
    verify.trust(
        parsed(first, second, other), filed(first, second, other), [first.id, second.id, other.id], 2
    )


def test_verification_tells_who_signed() -> None:
    """The examination gives the IDs of the keys that count, and holds if they are enough."""
    keys = filed(*POOL)
    examined = verify.examine(parsed(POOL[0], POOL[2]), keys, list(keys), 2)
    assert examined
    assert examined.valid == {POOL[0].id, POOL[2].id}
    assert not verify.examine(parsed(POOL[0]), keys, list(keys), 2)


def test_message_is_what_others_sign() -> None:
    """The bytes that signatures are checked over are those that an independent library computes."""
    file = parsed(POOL[0])
    assert file.message == str(encode_canonical(json.loads(file.data)["signed"])).encode()
