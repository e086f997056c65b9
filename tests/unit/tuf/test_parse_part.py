"""The first look at a part: what is MALFORMED_JSON and what is left for later (docs/reference/protocol.md, 3 and 4).

The answers in `PASS` and `FAIL` are those that Debian's notary-server 0.7.0 gave.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.errors import MalformedJson
from notary_server.tuf import parse
from notary_server.tuf.names import RoleName
from tests.unit.tuf import documents
from tests.unit.tuf.documents import MAKERS, spell

ROLES = ["root", "targets", "targets/a", "snapshot", "timestamp"]


def passes(data: bytes, role: str = "targets", **limits: int) -> bool:
    """Whether a part passes; if it does not, the error has a text and no detail."""
    try:
        parse.check_part(RoleName(role), data, parse.Limits(**limits))
    except MalformedJson as caught:
        error = caught
    else:
        return True
    assert error.message
    assert error.detail is None
    return False


def is_ambiguous(data: bytes, role: str) -> bool:
    """Whether a part passes at first, but is then refused because readers disagree about it."""
    readers = {"root": parse.parse_root, "snapshot": parse.parse_snapshot, "timestamp": parse.parse_timestamp}
    try:
        readers.get(role, lambda it: parse.parse_targets(RoleName(role), it))(data)
    except parse.AmbiguousError:
        return passes(data, role)
    except parse.ParseError:
        pass
    return False


def signed(members: str) -> bytes:
    """A part with these members in `signed`."""
    return f'{{"signed":{{{members}}},"signatures":[]}}'.encode()


def signatures(value: str) -> bytes:
    """A part with this member `signatures`."""
    return f'{{"signed":{{}},"signatures":{value}}}'.encode()


PASS = [
    b"null", b"{}", b" \n\t{} \r\n", b'{"signed":null}', b'{"signed":{}}', b'{"signatures":null}', b'{"signed":{}} trailing',
    b'{"signed":{}}\xff', b'{"signed":{}}{"x"', b'{"\\u0073igned":{}}', b'{"signed":{"a":"\x7f"}}',
    signed('"_type":null,"expires":null,"version":null'), signed('"version":-1'), signed('"version":-0'),
    signed('"version":9223372036854775807'), signed('"version":-9223372036854775808'), signed('"other":1e400'),
    signed('"other":0.5'), signed('"keys":1,"roles":2,"meta":3,"targets":4,"delegations":5'),
    signed('"expires":"2030-01-01T00:00:00Z"'), signed('"expires":"2030-01-01T0:00:00,5+23:59"'),
    signed('"expires":"0000-01-01T00:00:00.1234567891Z"'), signed('"expires":"2030-01-01T00:00:00+99:99"'),
    signatures("[null]"), signatures("[{}]"), signatures('[{"keyid":null,"method":null,"sig":null}]'), signatures('[{"sig":""}]'),
    signatures('[{"sig":"YQ=="}]'), signatures('[{"sig":"Y\\nQ==\\r\\n"}]'), signatures('[{"sig":"YR=="}]'),
]  # fmt: skip
FAIL = [
    b"", b" ", b"[]", b"1", b'"a"', b"true", b'{"signed":{}', b'{"signed":1}', b'{"signed":[]}', b'{"signed":"x"}', b"\xef\xbb\xbf{}",
    b"\x0b{}", b"{'a':1}", b'{"a":1,}', b'{"a":"\x01"}', b'{"a":"\\x"}', b'{"a":NaN}', b'{"a":00}', b'{"a":1.}', b'{"a":.5}',
    signed('"_type":1'), signed('"_type":{}'), signed('"version":1.0'), signed('"version":1e0'), signed('"version":"1"'), signed('"version":true'),
    signed('"version":9223372036854775808'), signed('"version":-9223372036854775809'), signed('"version":' + "1" * 5000),
    signed('"expires":1'), signed('"expires":""'), signed('"expires":"2030-01-01"'), signed('"expires":"2030-02-30T00:00:00Z"'),
    signed('"expires":"2030-01-01T00:00:60Z"'), signed('"expires":"2030-01-01T00:00:00\\u005a"'),
    signatures("{}"), signatures('""'), signatures("[1]"), signatures('["a"]'), signatures("[[]]"), signatures('[{"sig":1}]'),
    signatures('[{"keyid":1}]'), signatures('[{"method":1}]'), signatures('[{"sig":"YQ"}]'), signatures('[{"sig":"_-8="}]'),
    signatures('[{"sig":" YQ=="}]'), signatures('[{"sig":"="}]'), signatures('[{"sig":"YQ==YQ=="}]'),
]  # fmt: skip


@pytest.mark.parametrize("data", PASS)
@pytest.mark.parametrize("role", ROLES)
def test_passes(data: bytes, role: str) -> None:
    """Missing and null members, and everything that is not a common member, are left for later."""
    assert passes(data, role)


@pytest.mark.parametrize("data", FAIL)
@pytest.mark.parametrize("role", ROLES)
def test_fails(data: bytes, role: str) -> None:
    """What is no JSON, or has a common member of a wrong type, is malformed."""
    assert not passes(data, role)


@pytest.mark.parametrize("role", MAKERS)
def test_good_files_pass(role: str) -> None:
    """A good file of every role passes, also spelled with white space and escapes."""
    document = MAKERS[role]()
    assert passes(spell(document), role)
    assert passes(json.dumps(document | {"é": "é"}, indent=1).encode(), role)


@pytest.mark.parametrize("data", [
    b'{"signed":{},"signed":{}}', signed('"version":1,"version":9'), signed('"a":{"b":[{"c":1,"c":1}]}'), signatures('[{"sig":"","sig":""}]'),
    signed('"targets":{"t":{"custom":{"x":1,"\\u0078":2}}}'),
])  # fmt: skip
def test_duplicate_members(data: bytes) -> None:
    """A member that stands twice in one object is refused, at any depth, as an error of the file's role."""
    assert is_ambiguous(data, "targets")


MISSPELLED = [
    ("targets", b'{"Signed":{}}'), ("targets", b'{"signed":{},"SIGNATURES":[]}'), ("targets", '{"ſigned":{}}'.encode()),
    ("targets", signatures('[{"KeyID":""}]')), ("targets", signatures('[{"Sig":""}]')), ("targets", signatures('[{"METHOD":""}]')),
    ("root", signed('"_Type":""')), ("snapshot", signed('"Version":1')), ("timestamp", signed('"version":1,"VERSION":9')),
    ("targets", signed('"Expires":""')), ("root", signed('"Keys":{}')), ("root", signed('"ROLES":{}')), ("root", signed('"\u212aeys":{}')),
    ("root", signed('"roles":{"x":{"Threshold":1}}')), ("root", signed('"roles":{"x":{"KeyIds":[]}}')),
    ("root", signed('"keys":{"x":{"KeyType":""}}')), ("root", signed('"keys":{"x":{"keyval":{"Public":""}}}')),
    ("root", signed('"keys":{"x":{"keyval":{"PRIVATE":""}}}')), ("root", signed('"Consistent_Snapshot":true')),
    ("targets", signed('"Targets":{}')), ("targets", signed('"targets":{"x":{"Length":1}}')), ("targets/a", signed('"targets":{"x":{"haſhes":1}}')),
    ("targets", signed('"targets":{"x":{"Custom":1}}')), ("targets", signed('"Delegations":{}')), ("targets", signed('"delegations":{"Roles":[]}')),
    ("targets", signed('"delegations":{"roles":[null,{"Name":""}]}')), ("targets", signed('"delegations":{"roles":[{"Paths":[]}]}')),
    ("targets", signed('"delegations":{"keys":{"x":{"KEYVAL":{}}}}')), ("snapshot", signed('"Meta":{}')), ("timestamp", signed('"meta":{"x":{"LENGTH":1}}')),
]  # fmt: skip


@pytest.mark.parametrize(("role", "data"), MISSPELLED)
def test_known_members_in_another_case(role: str, data: bytes) -> None:
    """A known member in another case, as Go folds it, is refused where that member is known."""
    assert is_ambiguous(data, role)


def test_wrong_types_come_first() -> None:
    """A common member of a wrong type makes a part MALFORMED_JSON, whatever else is wrong with it."""
    assert not passes(signed('"version":"x","Keys":{}'), "root")
    assert not passes(b'{"Signed":{},"signatures":1}')


@pytest.mark.parametrize(("role", "data"), [
    ("targets", signed('"targets":{"Length":{},"length":{},"Targets":{}}')), ("targets", signed('"delegations":{"keys":{"Keys":{},"keys":{}}}')),
    ("root", signed('"roles":{"Root":{},"root":{}}')), ("snapshot", signed('"meta":{"Root":{},"META":{}}')),
    ("targets", signed('"targets":{"x":{"hashes":{"SHA256":"","sha256":""},"custom":{"Length":1,"length":2}}}')),
    ("targets", signed('"other":{"Signed":1,"Version":2}')), ("snapshot", signed('"Targets":1,"Roles":2')), ("root", signed('"Meta":1')),
    ("targets", b'{"signed":{},"Version":1,"Keys":2}'), ("root", signed('"keys":{"x":{"keyval":{"Keyval":1}}}')),
])  # fmt: skip
def test_data_may_be_called_anything(role: str, data: bytes) -> None:
    """Targets' paths, key IDs, role names, hash names, and what `custom` holds, are data and have no known names."""
    assert passes(data, role)


@pytest.mark.parametrize("data", [
    b'{"signed":{"a":"\xff"}}', b'{"signed":{"a":"\xed\xa0\x80"}}', b'{"signed":{"a":"\\ud800"}}', b'{"signed":{"\\udfff":1}}', b'{"\xc0\x80":1}',
])  # fmt: skip
def test_invalid_text(data: bytes) -> None:
    """Invalid UTF-8 and half surrogate pairs are refused as an error of the file's role."""
    assert is_ambiguous(data, "targets")


def test_depth() -> None:
    """Nesting up to the limit passes; the limit is 256 unless the caller sets another."""
    for limit in (256, 100):
        inner = limit - 2
        good = signed('"a":' + "[" * inner + "]" * inner)
        deeper = signed('"a":[' + "[" * inner + "]" * inner + "]")
        assert passes(good, max_depth=limit)
        assert not passes(deeper, max_depth=limit)
    assert passes(signed('"a":' + "[" * 254 + "]" * 254))
    assert not passes(signed('"a":' + "[" * 255 + "]" * 255))


@given(
    st.sampled_from(ROLES),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "signed",
                        "signatures",
                        "keys",
                        "roles",
                        "targets",
                        "meta",
                        "keyid",
                        "sig",
                        "version",
                        "x",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    ),
)
def test_any_document(role: str, document: Any) -> None:
    """Any JSON document passes or is malformed, nothing else happens."""
    passes(json.dumps(document).encode(), role)


@given(st.binary(max_size=30))
def test_any_bytes(data: bytes) -> None:
    """Any bytes pass or are malformed, nothing else happens."""
    passes(data)


def test_the_text_names_the_role() -> None:
    """The error says which file cannot be read and why."""
    with pytest.raises(
        MalformedJson, match=r"^The targets/a file cannot be read: its version is out of range\.$"
    ):
        parse.check_part(RoleName("targets/a"), signed('"version":9223372036854775808'))


def test_documents_are_good() -> None:
    """The documents that other tests bend do pass as they are."""
    assert all(passes(spell(maker()), role) for role, maker in documents.MAKERS.items())
