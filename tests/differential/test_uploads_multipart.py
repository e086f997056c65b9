"""The form around the files: what counts as a part, which role it is for, what the form may look like."""

from __future__ import annotations

import pytest

from tests.publisher import Part, Reply, form

from .arena import Arena
from .case import (
    BAD_TARGETS,
    BAD_VALIDATION,
    MALFORMED_JSON,
    MALFORMED_UPLOAD,
    NO_ANSWER,
    NO_FILENAME,
    OK,
    Answer,
    Case,
    Play,
    Stage,
)
from .plays import Files, spelled, then


def dispositions(line: str, *more: str) -> Play:
    """A good first publish whose parts carry other header lines; `{}` takes the role."""

    def parts(files: Files) -> list[Part]:
        return [Part(role, data, (line.format(role), *more)) for role, data in files.items()]

    return spelled(parts)


def extra(filename: str, data: bytes = b"{}") -> Play:
    """A good first publish with one more part in front."""
    return spelled(lambda files: [Part(filename, data), *(Part(role, it) for role, it in files.items())])


def after(filename: str, data: bytes) -> Play:
    """A good first publish with one more part at the end."""
    return spelled(lambda files: [*(Part(role, it) for role, it in files.items()), Part(filename, data)])


def renamed(role: str, filename: str) -> Play:
    """A good first publish with one part under another name."""
    return spelled(lambda files: {(filename if name == role else name): data for name, data in files.items()})


def typed(content_type: str | None) -> Play:
    """A good first publish under another content type; `{}` takes the boundary's parameter."""

    def play(stage: Stage) -> Reply:
        files = stage.owner().first()
        made, body = form(files)
        header = content_type.format(made.partition("; ")[2]) if content_type is not None else None
        return stage.sent(
            [Part(*file) for file in files.items()], stage.client.upload(stage.gun, header, body)
        )

    return play


def carried(headers: dict[str, str], *, chunks: bool = False) -> Play:
    """A good first publish with other request headers, in chunks if asked."""

    def play(stage: Stage) -> Reply:
        files = stage.owner().first()
        content_type, body = form(files)
        lines = {"Content-Type": content_type, **headers}
        if chunks:
            body = b"".join(
                b"%x\r\n%s\r\n" % (len(body[at : at + 1000]), body[at : at + 1000])
                for at in range(0, len(body), 1000)
            )
            body += b"0\r\n\r\n"
        else:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        path = stage.address("tuf/")
        raw = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n".encode() + body
        return stage.sent([Part(*file) for file in files.items()], stage.client.raw(raw))

    return play


def bodied(body: bytes, content_type: str = "multipart/form-data; boundary=xyz") -> Play:
    """Any body, sent to a repository that stands."""

    def play(stage: Stage) -> Reply:
        stage.established()
        return stage.sent([], stage.client.upload(stage.gun, content_type, body))

    return play


def invalid_role(name: str) -> Answer:
    """INVALID_ROLE, which tells the name."""
    return Answer(400, "INVALID_ROLE", None, detail=name)


def wrong_name(filename: str, told: str | None = None) -> Case:
    """A part under a name that is no role."""
    shown = "".join(char if char.isalnum() else "_" for char in filename)[:40]
    return Case(f"role-{shown}", extra(filename), invalid_role(filename if told is None else told))


FIELD = 'Content-Disposition: form-data; name="files"; '

CASES = [
    Case("as-the-client", spelled(dict), OK),
    Case("targets-first", spelled(lambda files: dict(reversed(list(files.items())))), OK),
    Case("bare-lf", spelled(dict, eol=b"\n"), OK),
    Case("preamble", spelled(dict, preamble=b"This is a form.\r\n"), OK),
    Case("epilogue", spelled(dict, epilogue=b"and this its end"), OK),
    Case("short-boundary", spelled(dict, boundary="x"), OK),
    Case("boundary-with-signs", spelled(dict, boundary="a'()+_,-./:=?b"), MALFORMED_UPLOAD),
    Case("multipart-mixed", spelled(dict, subtype="mixed"), OK),
    Case("multipart-related", spelled(dict, subtype="related"), MALFORMED_UPLOAD),
    Case(
        "quoted-boundary",
        typed('multipart/form-data; boundary="0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"'),
        OK,
    ),
    Case("type-upper-case", typed("MULTIPART/FORM-DATA; {}"), OK),
    Case("type-with-charset", typed("multipart/form-data; charset=utf-8; {}"), OK),
    Case(
        "boundary-upper-case-name",
        typed("multipart/form-data; BOUNDARY=0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"),
        OK,
    ),
    Case("no-content-type", typed(None), MALFORMED_UPLOAD),
    Case("type-json", typed("application/json"), MALFORMED_UPLOAD),
    Case("type-octets", typed("application/octet-stream"), MALFORMED_UPLOAD),
    Case("type-urlencoded", typed("application/x-www-form-urlencoded"), MALFORMED_UPLOAD),
    Case("no-boundary", typed("multipart/form-data"), MALFORMED_UPLOAD),
    Case("empty-boundary", typed("multipart/form-data; boundary="), MALFORMED_UPLOAD),
    Case("type-broken", typed("multipart/form-data;;; {}"), MALFORMED_UPLOAD),
    Case("chunked", carried({"Transfer-Encoding": "chunked"}, chunks=True), OK),
    Case("content-encoding-ignored", carried({"Content-Encoding": "gzip"}), OK),
    Case("expect-continue", carried({"Expect": "100-continue"}), OK),
    Case("filename-unquoted", dispositions(FIELD + "filename={}"), OK),
    Case("filename-extended", dispositions(FIELD + "filename*=UTF-8''{}"), OK),
    Case("attachment", dispositions('Content-Disposition: attachment; filename="{}"'), OK),
    Case("other-field-name", dispositions('Content-Disposition: form-data; name="x"; filename="{}"'), OK),
    Case("no-field-name", dispositions('Content-Disposition: form-data; filename="{}"'), OK),
    Case(
        "header-lower-case", dispositions('content-disposition: form-data; name="files"; filename="{}"'), OK
    ),
    Case("filename-parameter-upper-case", dispositions('Content-Disposition: form-data; FILENAME="{}"'), OK),
    Case("escaped-filename", dispositions(FIELD + 'filename="\\{}"'), invalid_role("\\root")),
    Case("part-type-json", dispositions(FIELD + 'filename="{}"', "Content-Type: application/json"), OK),
    Case("part-type-broken", dispositions(FIELD + 'filename="{}"', "Content-Type: %%%"), OK),
    Case(
        "transfer-encoding-base64",
        dispositions(FIELD + 'filename="{}"', "Content-Transfer-Encoding: base64"),
        OK,
    ),
    Case("unknown-part-header", dispositions(FIELD + 'filename="{}"', "X-Something: else"), OK),
    Case("filename-with-json", dispositions(FIELD + 'filename="{}.json"'), OK),
    Case(
        "filename-with-json-twice", dispositions(FIELD + 'filename="{}.json.json"'), invalid_role("root.json")
    ),
    Case("no-filename", dispositions('Content-Disposition: form-data; name="{}"'), NO_FILENAME),
    Case(
        "empty-filename",
        dispositions('Content-Disposition: form-data; name="files"; filename=""'),
        NO_FILENAME,
    ),
    Case("no-disposition", dispositions("X-Role: {}"), NO_FILENAME),
    Case("broken-disposition", dispositions('Content-Disposition: form-data; filename="{}'), NO_FILENAME),
    Case("filename-only-json", extra(".json"), NO_FILENAME),
    wrong_name("Root"),
    wrong_name("ROOT"),
    wrong_name("mirrors"),
    wrong_name("root "),
    wrong_name("root.txt"),
    wrong_name("targets/"),
    wrong_name("targets//a"),
    wrong_name("targets/A"),
    wrong_name("targets/a.b"),
    wrong_name("targets/a b"),
    wrong_name("targets/../root"),
    wrong_name("targets/."),
    wrong_name("/targets"),
    wrong_name("./targets"),
    wrong_name("x/../targets"),
    wrong_name("targets/é"),
    wrong_name("targets/" + "n" * 248),
    Case("longest-role", after("targets/" + "n" * 247, b"{}"), BAD_TARGETS),
    Case("root-missing", spelled(lambda files: {"targets": files["targets"]}), BAD_VALIDATION),
    Case("targets-missing", spelled(lambda files: {"root": files["root"]}), BAD_VALIDATION),
    Case("targets-as-delegation", renamed("targets", "targets/a"), BAD_TARGETS),
    Case("root-as-targets", spelled(lambda files: [Part("targets", files["root"])]), BAD_VALIDATION),
    Case("timestamp-ignored", after("timestamp", b'{"signed":{},"signatures":[]}'), OK),
    Case("timestamp-not-json", after("timestamp", b"nonsense"), MALFORMED_JSON),
    Case(
        "same-part-twice",
        spelled(lambda files: [Part("root", files["root"]), *(Part(*one) for one in files.items())]),
        OK,
        freedom="part twice",
    ),
    Case("bad-name-before-bad-json", extra("nobody", b"nonsense"), invalid_role("nobody")),
    Case(
        "bad-json-before-bad-name",
        spelled(lambda files: [Part("root", b"x"), Part("nobody", b"{}")]),
        MALFORMED_JSON,
    ),
    Case("empty-part", extra("root", b""), MALFORMED_JSON),
    Case("part-of-spaces", extra("root", b"   \n"), MALFORMED_JSON),
    Case("empty-upload-new", bodied(b"--xyz--\r\n"), OK, freedom="empty upload"),
    Case("empty-body", bodied(b""), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("body-without-boundary", bodied(b"some text"), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("empty-upload-nothing-stored", spelled(lambda files: []), BAD_VALIDATION),
    Case(
        "nothing-but-timestamp",
        then(lambda p: {"timestamp": b'{"signed":{},"signatures":[]}'}),
        OK,
        freedom="empty upload",
    ),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_uploads(case: Case, arena: Arena) -> None:
    """Both servers understand the form alike."""
    arena.judge(case)
