"""The form parser: the liberties of Go's readers, and nothing beyond them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.errors import MalformedUpload, NoFilename
from notary_server.http.media_type import BadMediaType, parse_media_type
from notary_server.http.multipart import form_boundary, parts
from tests.publisher import Part, form


def read(body: bytes, boundary: bytes = b"BB") -> list[tuple[str, bytes]]:
    """All parts of a form."""
    return [(name, content()) for name, content in parts(body, boundary, 100)]


def one(disposition: str, eol: str = "\r\n") -> bytes:
    """A form of one part with this disposition and the content `{}`."""
    return eol.join(["--BB", f"Content-Disposition: {disposition}", "", "{}", "--BB--", ""]).encode()


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z/_-]{1,20}", fullmatch=True), st.binary(max_size=300)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([b"\r\n", b"\n"]),
    st.booleans(),
)
def test_whatever_a_client_puts_in_comes_out(
    files: list[tuple[str, bytes]], eol: bytes, wrapped: bool
) -> None:
    """Names and contents survive, in either kind of line ends, with preamble and epilogue."""
    kind, body = form(
        [Part(name, data) for name, data in files],
        eol=eol,
        preamble=b"hello\r\n" if wrapped else b"",
        epilogue=b"bye --BB" if wrapped else b"",
    )
    assert read(body, form_boundary(kind)) == files


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_form_or_malformed(body: bytes) -> None:
    """Nothing but the two errors of the contract ever comes out of the parser."""
    for candidate in (body, b"--BB\r\n" + body, one("form-data; filename=a")[:-8] + body):
        try:
            read(candidate)
        except (MalformedUpload, NoFilename):
            continue


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="files"; filename="targets/releases"', "targets/releases"),
        ("form-data; filename=root", "root"),
        ("attachment; filename=root", "root"),
        ('FORM-DATA ; FileName = "root" ;', "root"),
        ("form-data; filename*=utf-8''ro%6ft", "root"),
        ("form-data; filename*=US-ASCII'en'root; filename=other", "root"),
        ("form-data; filename*0=ro; filename*1=ot", "root"),
        ("form-data; filename*0*=utf-8''r%6f; filename*1*=%6ft", "root"),
        (r'form-data; filename="C:\dir\root"', r"C:\dir\root"),
        (r'form-data; filename="a\"b"', 'a"b'),
        ('form-data;\r\n filename="root"', "root"),
    ],
)
def test_file_names_in_every_spelling(disposition: str, name: str) -> None:
    """Quoted, bare, extended, continued, folded: the name is understood as Go understands it."""
    assert read(one(disposition)) == [(name, b"{}")]


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data",
        'form-data; filename=""',
        '; filename="root"',
        'form-data; filename="root',
        'form-data; filename="root" junk',
        "form-data; filename*=iso-8859-1''root",
        "form-data; filename=root; filename=root",
        "form-data; filename=",
        "form data; filename=root",
    ],
)
def test_parts_without_a_usable_name(disposition: str) -> None:
    """What names no file is NO_FILENAME."""
    with pytest.raises(NoFilename):
        read(one(disposition))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--BB",
        b"--BB\r\n",
        b"--BB\r\nContent-Disposition: x; filename=a",
        b"--BB\r\nno colon\r\n\r\n{}\r\n--BB--\r\n",
        b"--BB\r\n folded: first\r\n\r\n{}\r\n--BB--\r\n",
        b"--BB\r\nX: " + b"x" * 20000 + b"\r\n\r\n{}\r\n--BB--\r\n",
        one("x; filename=a").replace(b"--BB--", b"--BC--"),
        one("x; filename=a").replace(b"--BB--", b"--BB"),
        one("x; filename=a").replace(b"--BB--", b"--BB--x"),
    ],
)
def test_broken_structures(body: bytes) -> None:
    """What ends early or is no header is MALFORMED_UPLOAD."""
    with pytest.raises(MalformedUpload):
        read(body)


def test_what_looks_like_a_boundary_but_goes_on_is_content() -> None:
    """A delimiter is one only if blanks, a line end or two dashes follow."""
    body = one("x; filename=a").replace(b"{}", b"1\r\n--BBx\r\n--BB-y\r\n2")
    assert read(body) == [("a", b"1\r\n--BBx\r\n--BB-y\r\n2")]


def test_names_are_judged_in_order_before_later_faults() -> None:
    """The first part is given out although a later one is broken: its own fault would decide."""
    form_parts = parts(one("x; filename=a")[:-8] + b"--BB\r\nbroken", b"BB", 100)
    assert next(form_parts)[0] == "a"


@pytest.mark.parametrize(
    "kind",
    ["", "multipart/form-data", 'multipart/form-data; boundary=""', "multipart/related; boundary=B", "text/plain; boundary=B",
     "multipart/form-data; boundary=B; junk", "multipart/form-data/x; boundary=B"],
)  # fmt: skip
def test_types_that_are_no_form(kind: str) -> None:
    """Only the two multipart types with a boundary are forms."""
    with pytest.raises(MalformedUpload):
        form_boundary(kind)


def test_types_that_are_forms() -> None:
    """Case, quotes, trailing semicolons and extended parameters do not matter."""
    for kind in (
        "Multipart/FORM-data; BOUNDARY=B;",
        'multipart/mixed;boundary="B"',
        "multipart/mixed; boundary*=utf-8''B",
    ):
        assert form_boundary(kind) == b"B"


@given(st.text(max_size=60))
def test_any_text_is_a_media_type_or_not(text: str) -> None:
    """The reader of header values raises its own error only."""
    for value in (text, "form-data; " + text, "form-data; filename=" + text, 'form-data; filename="' + text):
        try:
            kind, _ = parse_media_type(value)
        except BadMediaType:
            continue
        assert kind
