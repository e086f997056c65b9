"""Which keys the server is asked about, and which of them sign."""

from __future__ import annotations

from notary_server.tuf import online
from notary_server.tuf.model import HeldKey, PublicKey, Role, Root
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from tests.publisher.keys import Key, ecdsa_key, ed25519_key

GUN = Gun("docker.example/team/app")


def public(key: Key) -> PublicKey:
    """A key as root lists it."""
    return PublicKey(key.keytype, key.public)


def held(key: Key, role: RoleName = TIMESTAMP, gun: Gun = GUN) -> dict[KeyId, HeldKey]:
    """The signer's answer about one key."""
    return {KeyId(key.id): HeldKey(KeyId(key.id), public(key), gun, role)}


def root(timestamp: Role, **keys: Key) -> Root:
    """A root in which only the timestamp role matters."""
    return Root(
        1, 0, {keyid: public(key) for keyid, key in keys.items()}, {TIMESTAMP: timestamp, SNAPSHOT: Role()}
    )


def test_only_so_many_keys_of_a_role_are_looked_at() -> None:
    """A root may list thousands; the signer is asked about the first ones and signs with those only."""
    keys = [ed25519_key() for _ in range(online.MAX_ONLINE_KEYS + 5)]
    keyids = tuple(key.id for key in keys)
    big = root(Role(keyids + keyids, 1), **{key.id: key for key in keys})
    everything = {keyid: key for one in keys for keyid, key in held(one).items()}
    assert online.candidates(big) == set(keyids[: online.MAX_ONLINE_KEYS])
    assert [key.key_id for key in online.signers(GUN, big, TIMESTAMP, everything)] == list(
        keyids[: online.MAX_ONLINE_KEYS]
    )


def test_all_held_keys_sign_or_none() -> None:
    """Below the threshold nothing is signed; repeated IDs count once."""
    one, two = ecdsa_key(), ecdsa_key()
    keys = {one.id: one, two.id: two}
    twice = root(Role((one.id, one.id), 2), **keys)
    both = root(Role((one.id, two.id), 2), **keys)
    assert online.signers(GUN, twice, TIMESTAMP, held(one)) == ()
    assert online.signers(GUN, both, TIMESTAMP, held(one)) == ()
    assert len(online.signers(GUN, both, TIMESTAMP, held(one) | held(two))) == 2


def test_keys_made_for_something_else_never_sign() -> None:
    """Another repository's key, another role's, and one filed under a wrong ID."""
    key = ecdsa_key()
    listing = root(Role((key.id,), 1), **{key.id: key})
    misfiled = root(Role(("wrong",), 1), wrong=key)
    assert online.signers(GUN, listing, TIMESTAMP, held(key, gun=Gun("other"))) == ()
    assert online.signers(GUN, listing, TIMESTAMP, held(key, role=SNAPSHOT)) == ()
    assert online.signers(GUN, misfiled, TIMESTAMP, held(key)) == ()
    for bad, answer in (
        (listing, held(key, gun=Gun("other"))),
        (listing, held(key, role=SNAPSHOT)),
        (misfiled, held(key)),
    ):
        assert online.misuse(GUN, bad, answer) is not None


def test_keys_that_are_not_held_are_nobodys_misuse() -> None:
    """What the signer does not know may be listed and filed as one likes."""
    key = ecdsa_key()
    assert online.misuse(GUN, root(Role((key.id,), 1), **{key.id: key}), {}) is None
    assert online.misuse(GUN, root(Role(("wrong",), 1), wrong=key), {}) is None
    assert online.misuse(GUN, root(Role((key.id,), 1), **{key.id: key}), held(key)) is None
