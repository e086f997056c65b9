"""What the server signs: spelled as Notary's server spells it, and sealed only with good signatures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.errors import SignerRefused
from notary_server.tuf import generate, instant
from notary_server.tuf.model import (
    FileMeta,
    FileSummary,
    HeldKey,
    PublicKey,
    Signature,
    SigningOrder,
    Snapshot,
    TrustState,
)
from notary_server.tuf.names import (
    MAX_VERSION,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Gun,
    KeyId,
    RoleName,
    Sha256Hex,
)
from notary_server.tuf.parse import parse_snapshot, parse_timestamp
from tests.publisher.keys import Key, ecdsa_key, ed25519_key, rsa_key

GUN = Gun("docker.example/team/app")

# Recorded from Notary's own server 0.7.0: a snapshot, the timestamp over it, and the public keys of both.
RECORDED_SNAPSHOT = b'{"signed":{"_type":"Snapshot","expires":"2029-11-22T13:47:35.580701012Z","meta":{"root":{"hashes":{"sha256":"m7ocFzu35ybcK1cVpkCBRZWz47pluD+qOtuk9PyIc3A=","sha512":"lt0yz8usELrD2egqWLnmht7XUoE0I1NvLUgND8nbt8W45LRnSoVb103MxSzv7gyNnxuIlBwLzzn2fyb3hnd46Q=="},"length":2292},"targets":{"hashes":{"sha256":"QkpvsNfPOmKSQPMAseFnxl0CJ7Y9EL4Xn4xiIjL0Zpo=","sha512":"FYLJ8vi0dU3ouu5D17oZFenNvFjtnAW39yQ1ypzHPMKgG7uJuTUVl4x3APUeBaAE3JtUnB7nurioVXJtkWLffA=="},"length":899},"targets/r":{"hashes":{"sha256":"FuP0lnRggimvkOtEZ2CnkMF5CWSp75qkKQZvGa6eego=","sha512":"F0TP3TWtiU2hHiBf81GnUggxRSB71KrMlEX8ml1zENGM1f7dhNIQi+3R+6JDjAunn5u0DL4wJU9rbE46A40M8w=="},"length":526}},"version":2},"signatures":[{"keyid":"7be4bff8939682cf4df73870312cb9af71c17d8e6f7fcb6995913f175cfaaa24","method":"ecdsa","sig":"Uk+Ql9q/Wl6A+UVHRE5H1x/mCPL/3ZfveX11Vj3AlmhlMgVBlEOya3CZ1pIIK3x3Qj1rEftA6aYWw5D4fV5sXQ=="}]}'
RECORDED_TIMESTAMP = b'{"signed":{"_type":"Timestamp","expires":"2026-12-07T13:47:35.584721845Z","meta":{"snapshot":{"hashes":{"sha256":"lERt+OmrW5mdeqBX1tAO85nkEjH4SynIdWg/FDDm1t4=","sha512":"+PuVj5NMk67Y8NEabsjlLQLm2MKwNLuE8DYnixPzXoRNHwwkXYUrHRT4LJtN07+OBW0UNjgu5e1/HFDQuIHHUg=="},"length":877}},"version":2},"signatures":[{"keyid":"2b6d8134786e2e98bb64eccc04275fe0235d4b9ae2e61c3587eabf5d75ab6527","method":"ecdsa","sig":"FNJPQiZaHJcgAyIb8azjWqrxtUM2Q2+zUbcAOC4Bx+BwUncyt35r/f/THZr/bFvivuSVkPsPjb3rMX4YfUvAAQ=="}]}'
RECORDED_KEYS = {
    SNAPSHOT: "3059301306072a8648ce3d020106082a8648ce3d030107034200040d27a0a203b4b85c04a9716cca2b54dc482d746be0650223c3f33c65420d54dd1dcc84c0d71cdbc3255f585a9d9da27340ccfed89698b7d755e2b768d98d7534",
    TIMESTAMP: "3059301306072a8648ce3d020106082a8648ce3d0301070342000406af2cc8e9284c1737cab200d95af6bb6fd3e985355014b9dbd360d16408a98103694bb802f7f36693a14ac075ef600bd1c383b30202f26875eee564f94a6d1a",
}


def held(key: Key, role: RoleName = SNAPSHOT) -> HeldKey:
    """A key as the signer describes it."""
    return HeldKey(KeyId(key.id), PublicKey(key.keytype, key.public), GUN, role)


def signed_by(order: SigningOrder, *keys: Key) -> list[Signature]:
    """Signatures over an order."""
    return [Signature(key.id, key.method, key.raw_signature(order.payload)) for key in keys]


def order_for(*keys: Key, expires: int = 0) -> SigningOrder:
    """An order to sign a small snapshot."""
    entries = {ROOT: generate.describe(b"root"), TARGETS: generate.describe(b"targets")}
    return generate.next_snapshot(GUN, entries, 3, expires, tuple(held(key) for key in keys))


def recorded_key(data: bytes, role: RoleName) -> HeldKey:
    """The key that signed a recorded file."""
    keyid = json.loads(data)["signatures"][0]["keyid"]
    return HeldKey(KeyId(keyid), PublicKey("ecdsa", bytes.fromhex(RECORDED_KEYS[role])), GUN, role)


def test_spells_a_snapshot_as_notary_does() -> None:
    """The same content and signature give the very bytes of Notary's server."""
    parsed = parse_snapshot(RECORDED_SNAPSHOT)
    entries = generate.kept_entries(parsed.body)
    keys = (recorded_key(RECORDED_SNAPSHOT, SNAPSHOT),)
    order = generate.next_snapshot(GUN, entries, parsed.body.version, parsed.body.expires, keys)
    assert generate.seal(order, parsed.signatures) == RECORDED_SNAPSHOT


def test_spells_a_timestamp_as_notary_does() -> None:
    """The same, for a timestamp over the recorded snapshot."""
    parsed = parse_timestamp(RECORDED_TIMESTAMP)
    keys = (recorded_key(RECORDED_TIMESTAMP, TIMESTAMP),)
    order = generate.NextTimestamp(GUN, parsed.body.version, parsed.body.expires, keys).over(
        RECORDED_SNAPSHOT
    )
    assert (order.gun, order.role, order.version) == (GUN, TIMESTAMP, parsed.body.version)
    assert generate.seal(order, parsed.signatures) == RECORDED_TIMESTAMP


@pytest.mark.parametrize("make", [ecdsa_key, ed25519_key, rsa_key])
def test_seals_signatures_of_every_type(make: Any) -> None:
    """A sealed file is a well-formed snapshot with the signatures in the order of the keys."""
    keys = [make(), ecdsa_key()]
    order = order_for(*keys)
    parsed = parse_snapshot(generate.seal(order, signed_by(order, *keys)))
    assert parsed.message == order.payload
    assert [signature.keyid for signature in parsed.signatures] == [key.id for key in keys]


class TestRefusals:
    """`seal` trusts nobody, not even the signer."""

    def test_a_missing_signature(self) -> None:
        """Every key of the order signs."""
        keys = [ecdsa_key(), ecdsa_key()]
        order = order_for(*keys)
        for some in (
            [],
            signed_by(order, keys[0]),
            signed_by(order, *reversed(keys)),
            signed_by(order, *keys, keys[0]),
        ):
            with pytest.raises(SignerRefused):
                generate.seal(order, some)

    def test_another_key(self) -> None:
        """A signature by a key that was not asked is refused."""
        order = order_for(ecdsa_key())
        with pytest.raises(SignerRefused):
            generate.seal(order, signed_by(order, ecdsa_key()))

    def test_another_payload(self) -> None:
        """A signature over other bytes is refused."""
        key = ecdsa_key()
        order = order_for(key)
        other = replace(order, payload=order.payload + b" ")
        with pytest.raises(SignerRefused):
            generate.seal(order, signed_by(other, key))

    @pytest.mark.parametrize("method", ["ECDSA", "eddsa", "", "rsapss"])
    def test_another_method(self, method: str) -> None:
        """The method is spelled as Notary spells it for that type of key."""
        key = ecdsa_key()
        order = order_for(key)
        with pytest.raises(SignerRefused):
            generate.seal(order, [Signature(key.id, method, key.raw_signature(order.payload))])

    def test_a_key_of_another_type(self) -> None:
        """A key that cannot be an online key seals nothing."""
        key = ecdsa_key()
        strange = replace(held(key), key=PublicKey("ecdsa-x509", key.public))
        order = replace(order_for(key), keys=(strange,))
        with pytest.raises(SignerRefused):
            generate.seal(order, signed_by(order, key))


@pytest.mark.parametrize(
    ("nanoseconds", "spelled"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (500_000_000, "1970-01-01T00:00:00.5Z"),
        (1_795_000_000_120_000_000, "2026-11-18T11:06:40.12Z"),
        (1_795_000_000_999_999_999, "2026-11-18T11:06:40.999999999Z"),
    ],
)
def test_spells_times_as_go_does(nanoseconds: int, spelled: str) -> None:
    """UTC, up to nine digits of fraction, no trailing zeros."""
    assert json.loads(order_for(expires=nanoseconds).payload)["expires"] == spelled


@given(st.integers(min_value=0, max_value=253_402_300_799_999_999_999))
def test_times_survive_spelling(nanoseconds: int) -> None:
    """What is written reads back to the nanosecond."""
    assert instant.parse(json.loads(order_for(expires=nanoseconds).payload)["expires"]) == nanoseconds


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_entries_match_only_their_file(data: bytes, other: bytes) -> None:
    """An entry describes the bytes it was made of and no others."""
    entry = generate.describe(data)
    assert generate.matches(entry, generate.describe(data))
    assert generate.matches(entry, generate.describe(other)) == (data == other)


def test_every_known_hash_of_an_entry_counts() -> None:
    """One known hash is needed, each one that is given must be right, unknown ones are not looked at."""
    data = b"data"
    right = generate.describe(data).hashes
    unknown = {"md5": b"x"}
    assert generate.matches(FileMeta({"sha512": right["sha512"]} | unknown, 4), generate.describe(data))
    assert not generate.matches(FileMeta(unknown, 4), generate.describe(data))
    assert not generate.matches(FileMeta({}, 4), generate.describe(data))
    assert not generate.matches(FileMeta(right | {"sha512": b"x"}, 4), generate.describe(data))
    assert not generate.matches(FileMeta(right, 5), generate.describe(data))
    assert generate.same_hashes(FileMeta(right, 5), generate.describe(data))


def test_keeps_only_entries_that_can_be_spelled() -> None:
    """Names of roles and printable hash names are kept."""
    entry = FileMeta({"sha256": b"x", "a\nb": b"y", "<md5>": b"z"}, 1)
    names = ["root", "targets", "targets/a", "snapshot", "timestamp", "targets/A", "x\n"]
    kept = generate.kept_entries(Snapshot(1, 0, dict.fromkeys(names, entry)))
    assert kept == dict.fromkeys(
        ["root", "targets", "targets/a"], FileMeta({"sha256": b"x", "<md5>": b"z"}, 1)
    )


def test_versions_follow_the_stored_ones() -> None:
    """The first version is 1; after the last one there is none."""
    latest = {
        ROOT: FileSummary(MAX_VERSION - 1, Sha256Hex(""), 0),
        SNAPSHOT: FileSummary(6, Sha256Hex(""), 0),
        TIMESTAMP: FileSummary(MAX_VERSION, Sha256Hex(""), 0),
    }
    state = TrustState(GUN, latest, {})
    assert generate.following(state, TARGETS, ()) == 1
    assert generate.following(state, SNAPSHOT, ()) == 7
    assert generate.following(state, ROOT, ()) == MAX_VERSION
    with pytest.raises(generate.VersionsExhaustedError):
        generate.following(state, TIMESTAMP, ())


def test_versions_follow_those_that_a_key_has_signed() -> None:
    """Also where less is stored, or nothing: clients have seen them."""
    state = TrustState(GUN, {SNAPSHOT: FileSummary(6, Sha256Hex(""), 0)}, {})
    keys = [replace(held(ecdsa_key()), highest_version=high) for high in (9, 4)]
    assert generate.following(state, SNAPSHOT, keys) == 10
    assert generate.following(state, SNAPSHOT, keys[1:]) == 7
    assert generate.following(state, TIMESTAMP, keys) == 10
    with pytest.raises(generate.VersionsExhaustedError):
        generate.following(state, SNAPSHOT, [replace(keys[0], highest_version=MAX_VERSION)])


def test_new_files_carry_their_digest() -> None:
    """A row is named by the SHA-256 of its very bytes."""
    file = generate.new_file(TARGETS, 4, b"data")
    assert (file.role, file.version, file.data) == (TARGETS, 4, b"data")
    assert file.sha256 == hashlib.sha256(b"data").hexdigest()
