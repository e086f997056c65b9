"""Who a client is by its certificate, and what the configuration lets it do."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from notary_signer.clients import (
    OPERATIONS,
    ClientRule,
    Clients,
    Identity,
    Operation,
    certificate_identity,
    is_spiffe_id,
    user,
)
from notary_signer.config.clients import client_rules

KEY = ec.generate_private_key(ec.SECP256R1())
SERVER = "spiffe://example.org/ns/prod/notary-server"


def certificate(cns: list[str], dns: list[str] = [], uris: list[str] = []) -> bytes:  # noqa: B006 - not changed
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn) for cn in cns])
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    )  # fmt: skip
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
    names += [x509.UniformResourceIdentifier(one) for one in uris]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not cns)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def rule(matcher: Any, value: str, *operations: Operation, guns: tuple[str, ...] = ()) -> ClientRule:
    return ClientRule(matcher, value, frozenset(operations or OPERATIONS), guns)


@pytest.mark.parametrize(("cns", "dns", "uris", "name", "cn", "spiffe"), [
    (["server"], [], [], "cn:server", "server", None),
    (["server"], ["A.example"], [SERVER], SERVER, "server", SERVER),
    (["server"], ["a.example"], [SERVER, "https://x"], "cn:server", "server", None),
    (["server"], ["a.example"], ["https://x"], "cn:server", "server", None),
    (["one", "two"], ["A.example"], [], "dns:a.example", None, None),
    (["a\nb"], ["a.example"], [], "dns:a.example", None, None),
    ([], [], ["spiffe://UPPER/x"], None, None, None),
    ([], [], [], None, None, None),
])  # fmt: skip
def test_names_of_a_certificate(
    cns: list[str], dns: list[str], uris: list[str], name: str | None, cn: str | None, spiffe: str | None
) -> None:
    """The SPIFFE ID, else the common name, else a DNS name, else the certificate; what is ambiguous is not there."""
    identity = certificate_identity(certificate(cns, dns, uris))
    assert (identity.subject_cn, identity.spiffe_id) == (cn, spiffe)
    assert identity.san_dns == {one.lower() for one in dns}
    assert identity.uid is None
    if name is None:
        assert re.fullmatch("cert:[0-9a-f]{64}", identity.name)
    else:
        assert identity.name == name


def test_what_is_no_certificate() -> None:
    """One error, whatever it is."""
    for data in (b"", b"x" * 100, certificate(["server"])[:-40]):
        with pytest.raises(ValueError):
            certificate_identity(data)


@pytest.mark.parametrize(("text", "sound"), [
    (SERVER, True), ("spiffe://a", True), ("spiffe://a/b.c", True), ("spiffe://a/..b", True),
    ("spiffe://", False), ("spiffe://A/b", False), ("spiffe://a/", False), ("spiffe://a//b", False),
    ("spiffe://a/../b", False), ("spiffe://a/.", False), ("spiffe://a/b/", False), ("spiffe://a:1/b", False),
    ("spiffe://u@a/b", False), ("spiffe://a/b?c", False), ("spiffe://a/%41", False), ("https://a/b", False),
    ("spiffe://a/b\n", False), ("spiffe://a/" + "b" * 255, False),
])  # fmt: skip
def test_spiffe_ids_are_checked(text: str, sound: bool) -> None:
    """As the standard has them: a trust domain in lower case, a path without dots, blanks, or an end in a slash."""
    assert is_spiffe_id(text) == sound


def test_matchers() -> None:
    """Each compares its own name exactly; a wildcard stands for whole parts of the path alone."""
    identity = Identity("x", "server", frozenset({"a.example"}), SERVER)
    for good in (
        rule("subject_cn", "server"), rule("san_dns", "A.Example"), rule("spiffe_id", SERVER),
        rule("spiffe_id", "spiffe://example.org/ns/prod/*"), rule("spiffe_id", "spiffe://example.org/*"),
    ):  # fmt: skip
        assert good.matches(identity)
    for bad in (
        rule("subject_cn", "Server"), rule("subject_cn", "a.example"), rule("san_dns", "server"),
        rule("san_dns", "example"), rule("spiffe_id", SERVER + "x"), rule("spiffe_id", "spiffe://example.org/ns/pro/*"),
        rule("spiffe_id", SERVER + "/*"), rule("subject_cn", SERVER),
    ):  # fmt: skip
        assert not bad.matches(identity)
    assert not any(
        rule(matcher, "").matches(Identity("nobody")) for matcher in ("subject_cn", "san_dns", "spiffe_id")
    )


NAMES = st.sampled_from(["server", "monitor", "other"])
RULES = st.builds(
    ClientRule, st.sampled_from(["subject_cn", "san_dns"]), NAMES, st.frozensets(st.sampled_from(OPERATIONS)),
    st.sampled_from([(), ("docker.io/",), ("docker.io/library/", "quay.io/")]),
)  # fmt: skip


@given(st.tuples(RULES) | st.tuples(RULES, RULES), NAMES, st.sampled_from(OPERATIONS), st.sampled_from([
    None, "docker.io/library/alpine", "docker.io/x", "docker.io", "quay.io/x", "docker.iox/y",
]))  # fmt: skip
def test_only_what_a_rule_says_is_allowed(
    rules: tuple[ClientRule, ...], name: str, operation: Operation, gun: str | None
) -> None:
    """A client may do exactly what one of the rules about it allows, told by the definition itself."""
    identity = Identity(f"cn:{name}", name)
    allowed = any(
        one.matcher == "subject_cn"
        and one.value == name
        and operation in one.operations
        and (
            gun is None or not one.gun_prefixes or any(gun.startswith(prefix) for prefix in one.gun_prefixes)
        )
        for one in rules
    )
    assert (Clients(rules, 0).problem(identity, operation, gun) is None) == allowed


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(OPERATIONS), st.none() | st.tuples(RULES))
def test_a_socket_is_for_ones_own_user(
    uid: int, own: int, operation: Operation, rules: tuple[ClientRule, ...] | None
) -> None:
    """Root included, nobody else; whatever the rules about certificates say."""
    assert (Clients(rules, own).problem(user(uid), operation, "g") is None) == (uid == own)


def test_without_rules_every_certificate_may() -> None:
    """As it was before there were rules."""
    assert Clients(None, 0).problem(Identity("cert:0"), "sign", "g") is None


def test_entries_as_they_are_written() -> None:
    """Keys in any case, operations and prefixes as lists, the whole also as JSON text."""
    entries = [
        {"Subject_CN": "server", "operations": ["sign", "describe"], "gun_prefixes": ["docker.io/library/"]},
        {"spiffe_id": "spiffe://example.org/*", "operations": ["metrics"]},
    ]
    expected = (
        rule("subject_cn", "server", "sign", "describe", guns=("docker.io/library/",)),
        rule("spiffe_id", "spiffe://example.org/*", "metrics"),
    )
    assert client_rules(entries) == client_rules(json.dumps(entries)) == expected


@pytest.mark.parametrize(("value", "said"), [
    ({}, "is an object; write a list"),
    ("[", "is not JSON"),
    ([], "is empty"),
    (["x"], "entry 1 is a string; write an object"),
    ([{"operations": ["sign"]}], "entry 1 names 0 of subject_cn"),
    ([{"subject_cn": "a", "san_dns": "b", "operations": ["sign"]}], "entry 1 names 2 of subject_cn"),
    ([{"subject_cn": "a", "operations": ["sign"], "more": 1}], 'entry 1 has the unknown key "more"'),
    ([{"subject_cn": "a", "SUBJECT_CN": "b", "operations": ["sign"]}], "entry 1 gives subject_cn twice"),
    ([{"subject_cn": "a"}], "entry 1 has no operations"),
    ([{"subject_cn": "a", "operations": []}], "entry 1 has no operations"),
    ([{"subject_cn": "a", "operations": ["sing"]}], 'entry 1 has the unknown operation "sing"'),
    ([{"subject_cn": "a", "operations": [["sign"]]}], "entry 1 has the unknown operation"),
    ([{"subject_cn": 7, "operations": ["sign"]}], "entry 1 has a subject_cn that is no name"),
    ([{"spiffe_id": "spiffe://A", "operations": ["sign"]}], 'entry 1 has the spiffe_id "spiffe://A"'),
    ([{"spiffe_id": "*", "operations": ["sign"]}], 'entry 1 has the spiffe_id "*"'),
    ([{"subject_cn": "a", "operations": ["sign"], "gun_prefixes": ["x"]}], "entry 1 has gun_prefixes that"),
    ([{"subject_cn": "a", "operations": ["sign"], "gun_prefixes": []}], "entry 1 has no gun_prefixes"),
    ([{"subject_cn": "a", "operations": ["sign"]}, 1, None], "entry 2 is a number; write an object; entry 3 is"),
])  # fmt: skip
def test_wrong_entries_are_named(value: Any, said: str) -> None:
    """Each in a sentence with its number and what to write; several at once."""
    with pytest.raises(ValueError, match=re.escape(said)):
        client_rules(value)


def test_members_given_twice_are_a_problem(tmp_path: Path) -> None:
    """Also inside an entry, where the parsers would keep the last one."""
    from notary_signer.config import inspect

    config = tmp_path / "signer-config.json"
    config.write_text('{"clients": [{"subject_cn": "a", "subject_cn": "b", "operations": ["sign"]}]}')
    problems = [str(problem) for problem in inspect(config, {}).problems if problem.key == "clients"]
    assert problems == [
        "clients: entry 1 gives subject_cn twice; keep one (upper and lower case are the same)"
    ]
