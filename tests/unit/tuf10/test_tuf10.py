"""The pure second dialect where a live server cannot show it: names, keys, bins, conversion."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey
from tuf.api.metadata import Metadata, Root, Targets

from notary_common.tuf_keys import material, signer_key, standard_key, standard_signature
from notary_common.wire import Algorithm
from notary_server.errors import MalformedJson
from notary_server.storage.chain import listed_digests
from notary_server.tuf.keys import key_id
from notary_server.tuf.model import PublicKey
from notary_server.tuf.names import ROOT, TARGETS, RoleName
from notary_server.tuf10.convert import convert
from notary_server.tuf10.delegations import bins, delegated
from notary_server.tuf10.file import BadFileError, StandardFile
from notary_server.tuf10.names import is_role, is_standard
from notary_server.tuf10.publish import listed_keys
from tests.publisher import Publisher
from tests.tuf10.owner import delegation, in_bins, listing, signed

MESSAGE = b"what is signed"


def _ecdsa() -> tuple[bytes, bytes]:
    private = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(private.sign(MESSAGE, ec.ECDSA(SHA256())))
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public, r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _rsa() -> tuple[bytes, bytes]:
    private = rsa.generate_private_key(65537, 2048)
    signature = private.sign(MESSAGE, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), signature


def _ed25519() -> tuple[bytes, bytes]:
    private = ed25519.Ed25519PrivateKey.generate()
    return private.public_key().public_bytes_raw(), private.sign(MESSAGE)


@pytest.mark.parametrize(("algorithm", "make"), [("ecdsa", _ecdsa), ("rsa", _rsa), ("ed25519", _ed25519)])
def test_keys_and_signatures_go_over_and_come_back(algorithm: Algorithm, make: Any) -> None:
    """securesystemslib verifies what the signer signs in its own form, and the key leads back to the signer's."""
    for _ in range(1 if algorithm == "rsa" else 20):
        public, raw = make()
        key = standard_key(algorithm, public)
        assert signer_key(key) == (algorithm, public)
        key.verify_signature(Signature(key.keyid, standard_signature(algorithm, raw).hex()), MESSAGE)
    other: Algorithm = "rsa" if algorithm == "ecdsa" else "ecdsa"
    with pytest.raises(ValueError, match="key"):
        standard_key(other, public)


def test_one_key_in_two_spellings_is_one() -> None:
    """White space in PEM, upper case in hexadecimal."""
    key = CryptoSigner.generate_ecdsa().public_key
    spelled = SSlibKey(
        "x", key.keytype, key.scheme, {"public": key.keyval["public"].replace("\n", "\n\n", 1)}
    )
    assert material(spelled) in {material(key), None}
    edwards = CryptoSigner.generate_ed25519().public_key
    assert material(
        SSlibKey("x", "ed25519", "ed25519", {"public": edwards.keyval["public"].upper()})
    ) == material(edwards)
    for broken in ({"public": "zz"}, {"public": "00"}):
        assert material(SSlibKey("x", "ed25519", "ed25519", broken)) is None


@given(st.text(st.sampled_from("aZ0-_.~/ \n\u00e9"), max_size=12))
def test_roles_can_be_addressed(name: str) -> None:
    """What may be a role is a clean path of one name or more."""
    allowed = all(part and part[0] != "." and set(part) <= set("aZ0-_.~") for part in name.split("/"))
    assert is_role(name) == allowed


def test_reserved_and_long_names_are_no_roles() -> None:
    """An address ends a repository's name at `_trust`, and a column has 255 characters."""
    assert not is_role("a/_trust/b")
    assert is_role("a" * 255)
    assert not is_role("a" * 256)


def test_the_dialect_of_a_file() -> None:
    """Only what says so itself is TUF 1.0."""
    assert is_standard(signed(listing("a"), []))
    for data in (None, b"", b'{"signed":{"_type":"Root"},"x":"spec_version"}', b'{"signed":{"_type":"Targets","spec_version":"1"}}',
                 b'"spec_version"', b'{"signed":{"_type":"root","spec_version":1}}', b'\xff"spec_version"'):  # fmt: skip
        assert not is_standard(data)


def test_both_dialects_list_digests() -> None:
    """The digests that a snapshot lists, in base64 or hexadecimal."""
    digest = hashlib.sha256(b"x").hexdigest()
    listed = {
        "signed": {
            "meta": {
                "targets.json": {"hashes": {"sha256": digest}},
                "a/b.json": {"hashes": {"sha256": digest}},
            }
        }
    }
    assert listed_digests(json.dumps(listed).encode()) == {"targets": digest, "a/b": digest}


def test_the_servers_keys_of_a_root_of_either_dialect() -> None:
    """What must not be retired: the signer's IDs of the keys that a stored root lists for snapshot and timestamp."""
    key = CryptoSigner.generate_ecdsa().public_key
    algorithm, public = signer_key(key) or ("ecdsa", b"")
    expected = {key_id(PublicKey(algorithm, public))}
    notary = Publisher("example.com/app")
    notary.server_keys = {role: _notary_object(key) for role in ("snapshot", "timestamp")}
    root = Root()
    for role in ("snapshot", "timestamp"):
        root.add_key(key, role)
    assert listed_keys(notary.first()["root"]) == listed_keys(signed(root, [])) == expected
    assert listed_keys(b"nonsense") == frozenset()


def test_bins_are_looked_at_again_when_their_keys_change() -> None:
    """Untouched bins need no look; with another key, prefix or number all do."""
    old, new = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    before = Targets(delegations=in_bins(3, "bin", old))
    assert len(bins(before, Targets(delegations=in_bins(3, "bin", old)))) == 8
    for other in (in_bins(3, "bin", new), in_bins(3, "b", old), in_bins(4, "bin", old), None):
        assert bins(before, Targets(delegations=other)) == frozenset()
    assert bins(None, before) == frozenset()
    assert list(delegated(before))[7] == "bin-7"


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(["signed", "signatures", "_type"]), st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just("targets"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["_type", "version", "spec_version", "expires", "targets", "delegations", "keys", "roles", "sig", "keyid"]), inner, max_size=6),
    max_leaves=12)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_is_read_is_read_or_refused(data: bytes) -> None:
    """No other error comes out of a file, for any role."""
    for role in ("root", "targets", "snapshot", "timestamp", "alice"):
        with suppress(BadFileError):
            assert StandardFile(RoleName(role), data).version >= 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("delegations", "roles", 0, "name"), True),
        (("delegations", "roles", 0, "paths"), [1]),
        (("delegations", "roles", 0, "terminating"), 0),
        (("delegations", "roles", 0, "threshold"), True),
        (("targets", "a", "length"), True),
        (("version",), True),
        (("_type",), "mirrors"),
    ],
)
def test_values_of_another_type_are_refused(place: tuple[Any, ...], value: Any) -> None:
    """python-tuf reads them, and its client or others fail when they come to them."""
    key = CryptoSigner.generate_ed25519()
    body = listing("a")
    body.delegations = delegation("alice", key, paths=["a"])
    document = json.loads(signed(body, []))
    StandardFile(TARGETS, json.dumps(document).encode()).check()
    inside = document["signed"]
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    with pytest.raises(MalformedJson, match=r"Expected|unknown"):
        StandardFile(TARGETS, json.dumps(document).encode()).check()


def test_a_conversion_says_what_it_leaves() -> None:
    """Certificates become keys, prefixes patterns, and an unpublished delegation is left out."""
    owner = Publisher("example.com/app")
    key = CryptoSigner.generate_ecdsa().public_key
    owner.server_keys = {role: _notary_object(key) for role in ("snapshot", "timestamp")}
    files = owner.first()
    document = json.loads(files["targets"])
    document["signed"]["targets"]["v1[x]"] = {"hashes": {"sha256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}, "length": 5,
                                              "custom": {"b": 1, "a": [True]}}  # fmt: skip
    role = {"keyids": [], "paths": ["", "v1[/"], "threshold": 1}
    document["signed"]["delegations"] = {"keys": {}, "roles": [
        {**role, "name": "targets/releases"}, {**role, "name": "targets/never"}]}  # fmt: skip
    releases = {
        "signed": {**document["signed"], "delegations": {"keys": {}, "roles": []}},
        "signatures": document["signatures"],
    }
    releases["signed"]["targets"] = {
        **document["signed"]["targets"],
        "v1[/a/b": document["signed"]["targets"]["v1[x]"],
    }
    stored = {ROOT: files["root"], TARGETS: json.dumps(document).encode(), RoleName("targets/releases"): json.dumps(releases).encode(),
              RoleName("targets/gone"): json.dumps(releases).encode()}  # fmt: skip
    made = convert(stored, key, CryptoSigner.generate_ecdsa().public_key)
    root = Metadata[Root].from_bytes(made.files[ROOT]).signed
    targets = Metadata[Targets].from_bytes(made.files[TARGETS]).signed
    assert (root.version, root.consistent_snapshot, root.roles["root"].threshold) == (1, True, 1)
    assert targets.targets["v1[x]"].hashes["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert targets.targets["v1[x]"].custom == {"a": [True], "b": 1}
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    (only,) = targets.delegations.roles.values()
    assert only.paths == ["*", "*/*", "*/*/*", "v1[[]/*", "v1[[]/*/*"]
    assert only.is_delegated_path("v1[/a/b")
    told = "\n".join(made.notes)
    for what in (
        "knows no certificates",
        "targets/never",
        "targets/gone",
        "path prefix",
        "asks for 1 signatures and has 0 keys",
    ):
        assert what in told
    assert set(made.files) == {"root", "targets", "targets/releases"}


def _notary_object(key: Any) -> Any:
    from base64 import b64encode

    _, public = signer_key(key) or ("", b"")
    return {"keytype": "ecdsa", "keyval": {"public": b64encode(public).decode(), "private": None}}
