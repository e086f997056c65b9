"""JSON inside a part: the common members of every role, their types, and text around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.publisher import Edit, Publisher, Spell, ecdsa_key, expires_in

from .arena import Arena
from .case import BAD_ROOT, BAD_SNAPSHOT, BAD_TARGETS, MALFORMED_JSON, OK, Answer, Case, Play
from .edits import drop, put, swap
from .plays import make

ROLES = ("root", "targets", "targets/a", "snapshot")
BAD = {"root": BAD_ROOT, "targets": BAD_TARGETS, "targets/a": BAD_TARGETS, "snapshot": BAD_SNAPSHOT}


def publish(pub: Publisher, role: str, **knobs: Any) -> Mapping[str, bytes]:
    """A first publish of all four files, one of which is bent; the client signs the snapshot."""
    bent: Callable[[str], Any] = lambda name: knobs if name == role else {}  # noqa: E731
    files = {
        "root": pub.root(**bent("root")),
        "targets": pub.targets(delegates=["targets/a"], **bent("targets")),
    }
    files["targets/a"] = pub.delegation("targets/a", **bent("targets/a"))
    files["snapshot"] = pub.snapshot(files, **bent("snapshot"))
    return files


def play(role: str, **knobs: Any) -> Play:
    """A first publish with one bent file."""
    return make(lambda pub: publish(pub, role, **knobs), keys=lambda: {"snapshot": ecdsa_key()})


def edited(role: str, edit: Edit) -> Play:
    """One file changed before it was signed."""
    return play(role, edit=edit)


def spelt(role: str, spell: Spell) -> Play:
    """One file spelled differently after it was signed."""
    return play(role, spell=spell)


def short(role: str) -> str:
    """A role's name that may stand in a GUN."""
    return role.replace("/", "-")


def everywhere(name: str, edit: Edit, answer: Answer | None) -> list[Case]:
    """One edit in every role; None for the role's own error."""
    return [Case(f"{name}-{short(role)}", edited(role, edit), answer or BAD[role]) for role in ROLES]


def respelt(name: str, spell: Spell, answer: Answer | None) -> list[Case]:
    """One spelling in every role."""
    return [Case(f"{name}-{short(role)}", spelt(role, spell), answer or BAD[role]) for role in ROLES]


def signatures(name: str, entry: Any, answer: Answer | None) -> list[Case]:
    """One more entry among the signatures of root."""
    extra = lambda made: [*made, entry]  # noqa: E731
    return [Case(f"signature-{name}", play("root", signatures=extra), answer or OK)]


def raw(name: str, data: bytes, answer: Answer) -> Case:
    """Any text instead of root."""
    return Case(f"text-{name}", spelt("root", lambda _: data), answer)


def member(old: bytes, new: bytes) -> Play:
    """Root with a piece of its text replaced, signatures notwithstanding."""
    return spelt("root", swap(old, new))


def custom(sent: bytes, canon: bytes) -> Play:
    """Targets with raw text in `custom`, signed over its canonical form."""
    hole = b'"a hole"'
    return play(
        "targets",
        edit=put(("targets", "v1", "custom"), {"n": "a hole"}),
        sign_over=swap(hole, canon),
        spell=swap(hole, sent),
    )


def deep(levels: int) -> Spell:
    """An unknown member that nests so deeply, outside of what is signed."""
    return swap(b'{"signed"', b'{"x":' + b"[" * levels + b"]" * levels + b',"signed"')


def signatures_first(data: bytes) -> bytes:
    """The envelope with `signatures` in front of `signed`."""
    signed, _, made = data[1:-1].partition(b',"signatures":')
    return b'{"signatures":' + made + b"," + signed + b"}"


WRONG_TYPES = [
    *everywhere("version-string", put("version", "1"), MALFORMED_JSON),
    *everywhere("version-bool", put("version", True), MALFORMED_JSON),
    *everywhere("version-list", put("version", []), MALFORMED_JSON),
    *everywhere("version-object", put("version", {}), MALFORMED_JSON),
    *everywhere("version-huge", put("version", 10**30), MALFORMED_JSON),
    *everywhere("version-null", put("version", None), None),
    *everywhere("version-missing", drop("version"), None),
    *everywhere("version-0", put("version", 0), None),
    *everywhere("version-negative", put("version", -7), None),
    *everywhere("type-number", put("_type", 1), MALFORMED_JSON),
    *everywhere("type-missing", drop("_type"), None),
    *everywhere("type-lower", put("_type", "nobody"), None),
    *everywhere("expires-number", put("expires", 1), MALFORMED_JSON),
    *everywhere("expires-text", put("expires", "tomorrow"), MALFORMED_JSON),
    *everywhere("expires-empty", put("expires", ""), MALFORMED_JSON),
    *everywhere("expires-missing", drop("expires"), None),
    *everywhere("expires-past", put("expires", expires_in(-0.01)), None),
]

TIMES = [
    Case(f"expires-{name}", edited("targets", put("expires", text)), answer)
    for name, text, answer in [
        ("no-fraction", "2040-01-02T03:04:05Z", OK),
        ("zone", "2040-01-02T03:04:05+02:00", OK),
        ("nine-digits", "2040-01-02T03:04:05.123456789Z", OK),
        ("no-zone", "2040-01-02T03:04:05", MALFORMED_JSON),
        ("space", "2040-01-02 03:04:05Z", MALFORMED_JSON),
        ("lower-t", "2040-01-02t03:04:05Z", MALFORMED_JSON),
        ("lower-z", "2040-01-02T03:04:05z", MALFORMED_JSON),
        ("month-13", "2040-13-02T03:04:05Z", MALFORMED_JSON),
        ("february-30", "2040-02-30T03:04:05Z", MALFORMED_JSON),
        ("february-29", "2040-02-29T03:04:05Z", OK),
        ("february-29-2041", "2041-02-29T03:04:05Z", MALFORMED_JSON),
        ("second-60", "2040-06-30T23:59:60Z", MALFORMED_JSON),
        ("hour-24", "2040-06-30T24:00:00Z", MALFORMED_JSON),
        ("year-5-digits", "12040-06-30T00:00:00Z", MALFORMED_JSON),
        ("year-2-digits", "40-06-30T00:00:00Z", MALFORMED_JSON),
        ("date-only", "2040-06-30", MALFORMED_JSON),
        ("trailing-text", "2040-06-30T00:00:00Zx", MALFORMED_JSON),
        ("leading-space", " 2040-06-30T00:00:00Z", MALFORMED_JSON),
        ("point-without-digits", "2040-06-30T00:00:00.Z", MALFORMED_JSON),
    ]
]

TEXT = [
    raw("not-json", b"hello", MALFORMED_JSON),
    raw("truncated", b'{"signed":{"_type":"Root"', MALFORMED_JSON),
    raw("array", b"[]", MALFORMED_JSON),
    raw("string", b'"x"', MALFORMED_JSON),
    raw("number", b"1", MALFORMED_JSON),
    raw("true", b"true", MALFORMED_JSON),
    raw("signed-a-string", b'{"signed":"x","signatures":[]}', MALFORMED_JSON),
    raw("signed-a-list", b'{"signed":[],"signatures":[]}', MALFORMED_JSON),
    raw("signatures-an-object", b'{"signed":{},"signatures":{}}', MALFORMED_JSON),
    raw("signatures-a-string", b'{"signed":{},"signatures":"x"}', MALFORMED_JSON),
    raw("signatures-of-numbers", b'{"signed":{},"signatures":[1]}', MALFORMED_JSON),
    raw("signatures-of-lists", b'{"signed":{},"signatures":[[]]}', MALFORMED_JSON),
    raw("empty-object", b"{}", BAD_ROOT),
    raw("empty-signed", b'{"signed":{},"signatures":[]}', BAD_ROOT),
    raw("byte-order-mark", b"\xef\xbb\xbf{}", MALFORMED_JSON),
    raw("single-quotes", b"{'signed':{}}", MALFORMED_JSON),
    raw("comment", b'/* x */{"signed":{}}', MALFORMED_JSON),
    raw("trailing-comma", b'{"signed":{},}', MALFORMED_JSON),
    raw("nan", b'{"signed":{"version":NaN}}', MALFORMED_JSON),
    raw("leading-zero", b'{"signed":{"version":01}}', MALFORMED_JSON),
    raw("plus", b'{"signed":{"version":+1}}', MALFORMED_JSON),
    raw("control-character", b'{"signed":{"_type":"a\nb"}}', MALFORMED_JSON),
    raw("bad-escape", b'{"signed":{"_type":"\\x"}}', MALFORMED_JSON),
    raw("utf-16", '{"signed":{}}'.encode("utf-16"), MALFORMED_JSON),
    raw("10001-deep", b"[" * 10001 + b"]" * 10001, MALFORMED_JSON),
    raw("unclosed-deep", b'{"a":' * 5000, MALFORMED_JSON),
    Case("deep-outside-of-signed", spelt("root", deep(10_001)), MALFORMED_JSON),
    Case("version-1.0", member(b'"version":1}', b'"version":1.0}'), MALFORMED_JSON),
    Case("version-1e0", member(b'"version":1}', b'"version":1e0}'), MALFORMED_JSON),
    Case("changed-after-signing", member(b'"version":1}', b'"version":2}'), BAD_ROOT),
    Case("unknown-member-after-signing", member(b'"version":1}', b'"version":1,"x":1}'), BAD_ROOT),
    Case("text-after", spelt("root", lambda data: data + b"x"), BAD_ROOT),
    Case("second-value-after", spelt("targets", lambda data: data + b"{}"), BAD_TARGETS),
]

SPELLING = [
    *respelt("unknown-member-outside", swap(b'{"signed"', b'{"note":"hi","signed"'), OK)[:3],
    *respelt("spaces", lambda data: data.replace(b'"signed":', b'"signed" : '), OK)[:3],
    *respelt("newline-at-end", lambda data: data + b"\n", OK)[:3],
    *respelt("newline-in-front", lambda data: b"\n " + data, OK)[:3],
    *(
        Case(f"unknown-member-{short(r)}", edited(r, put("note", {"a": [1, None, True, "x"]})), OK)
        for r in ROLES[:3]
    ),
    Case("escaped-letters", spelt("root", swap(b'"_type"', b'"\\u005ftype"')), OK),
    Case("members-in-other-order", spelt("root", signatures_first), OK),
    Case("method-upper-case", play("root", signatures=lambda made: [made[0] | {"method": "ECDSA"}]), OK),
    Case("float-whole-in-custom", edited("targets", put(("targets", "v1", "custom"), {"n": 5})), OK),
    Case(
        "float-in-custom", spelt("targets", swap(b'"length":', b'"custom":{"n":0.5},"length":')), BAD_TARGETS
    ),
    Case("null-in-custom", edited("targets", put(("targets", "v1", "custom"), None)), OK),
    Case(
        "text-in-custom",
        edited("targets", put(("targets", "v1", "custom"), '<b> & \u2028 \U0001f600 \\ "')),
        OK,
    ),
    Case(
        "unicode-in-target-name",
        edited(
            "targets",
            put(
                ("targets", "\u00fcml\u00e4ut/\u65e5\u672c"),
                _entry := {"hashes": {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, "length": 0},
            ),
        ),
        OK,
    ),
    Case("html-in-target-name", edited("targets", put(("targets", "a<b>&c"), _entry)), OK),
    Case("quote-in-target-name", edited("targets", put(("targets", 'a"b\\c'), _entry)), OK),
    Case("empty-target-name", edited("targets", put(("targets", ""), _entry)), OK),
]

NUMBERS_AND_TEXT = [
    Case(f"custom-{name}", custom(sent, canon), answer, freedom=freedom, unclean=freedom is not None)
    for name, sent, canon, answer, freedom in [
        ("5.0", b"5.0", b"5", OK, None),
        ("1e3", b"1e3", b"1000", OK, None),
        ("1E3", b"1E3", b"1000", OK, None),
        ("-5.0", b"-5.0", b"-5", OK, None),
        ("minus-0", b"-0", b"0", OK, None),
        ("minus-0-signed-so", b"-0", b"-0", BAD_TARGETS, None),
        ("1e20", b"1e20", b"100000000000000000000", BAD_TARGETS, None),
        ("half", b"0.5", b"0.5", BAD_TARGETS, None),
        ("2-to-53", b"9007199254740992", b"9007199254740992", OK, None),
        ("minus-2-to-53", b"-9007199254740992", b"-9007199254740992", OK, None),
        ("100-deep", b"[" * 100 + b"]" * 100, b"[" * 100 + b"]" * 100, OK, None),
        ("300-deep", b"[" * 300 + b"]" * 300, b"[" * 300 + b"]" * 300, OK, "deep nesting"),
        ("control-characters", b'"\\u0007\\n"', b'"\x07\n"', OK, None),
        ("nul", b'"\\u0000"', b'"\x00"', OK, None),
        ("delete", b'"\x7f"', b'"\x7f"', OK, None),
        ("escaped-slash", b'"a\\/b"', b'"a/b"', OK, None),
        ("surrogate-pair", b'"\\ud83d\\ude00"', '"\U0001f600"'.encode(), OK, None),
        ("half-a-pair", b'"\\ud800"', '"\ufffd"'.encode(), OK, "ambiguous text"),
        ("invalid-utf-8", b'"\xff"', '"\ufffd"'.encode(), OK, "ambiguous text"),
        ("member-twice", b'{"a":1,"a":2}', b'{"a":2}', OK, "ambiguous text"),
        ("member-twice-escaped", b'{"a":1,"\\u0061":2}', b'{"a":2}', OK, "ambiguous text"),
        (
            "sorted-by-utf-8",
            '{"\uffff":1,"\U00010000":2}'.encode(),
            '{"\uffff":1,"\U00010000":2}'.encode(),
            OK,
            None,
        ),
    ]
]

EXTRA_SIGNATURES = [
    *signatures("unknown-key", {"keyid": "ab" * 32, "method": "ecdsa", "sig": "AAAA"}, OK),
    *signatures("empty", {"keyid": "", "method": "", "sig": ""}, OK),
    *signatures("keyid-number", {"keyid": 1, "method": "ecdsa", "sig": "AAAA"}, MALFORMED_JSON),
    *signatures("method-number", {"keyid": "a", "method": 1, "sig": "AAAA"}, MALFORMED_JSON),
    *signatures("sig-number", {"keyid": "a", "method": "ecdsa", "sig": 1}, MALFORMED_JSON),
    *signatures("sig-list", {"keyid": "a", "method": "ecdsa", "sig": ["x"]}, MALFORMED_JSON),
    *signatures("sig-unpadded", {"keyid": "a", "method": "ecdsa", "sig": "AAA"}, MALFORMED_JSON),
    *signatures("sig-url-alphabet", {"keyid": "a", "method": "ecdsa", "sig": "-_-_"}, MALFORMED_JSON),
    *signatures("sig-spaces", {"keyid": "a", "method": "ecdsa", "sig": "AA AA"}, MALFORMED_JSON),
    *signatures("sig-null", {"keyid": "a", "method": "ecdsa", "sig": None}, OK),
    *signatures("keyid-null", {"keyid": None, "method": "ecdsa", "sig": "AAAA"}, OK),
]


CASES = [*WRONG_TYPES, *TIMES, *TEXT, *SPELLING, *NUMBERS_AND_TEXT, *EXTRA_SIGNATURES]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_json(case: Case, arena: Arena) -> None:
    """Both servers read the same from the same text."""
    arena.judge(case)
