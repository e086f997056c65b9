"""The body of a publish: its multipart form, read part by part as Go's mime/multipart reads it.

Pure functions over the bytes of a whole, bounded body. Parts come lazily, since of several faults in one upload the
first one decides what the client is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from notary_server.errors import MalformedUpload, NoFilename, shown_by_clients

from .media_type import BadMediaType, parse_media_type

FORM_TYPES: Final = frozenset({"multipart/form-data", "multipart/mixed"})
MAX_HEADER_BYTES: Final = 16_384
"""Of one part: a role name has at most 255 characters."""

_BLANKS: Final = b" \t"


def form_boundary(content_type: str | None) -> bytes:
    """The boundary that a `Content-Type` announces.

    Raises:
        MalformedUpload: it announces no multipart form.
    """
    try:
        kind, parameters = parse_media_type(content_type or "")
    except BadMediaType:
        raise _malformed() from None
    boundary = parameters.get("boundary", "")
    if kind not in FORM_TYPES or not boundary:
        raise _malformed()
    return boundary.encode("utf-8", "surrogateescape")


def parts(body: bytes, boundary: bytes, max_parts: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each part's file name as spelled, in order, and what finds its content.

    The content MUST be asked for before the next part is: its name is judged before its end is even looked for.

    Raises:
        MalformedUpload: the body ends inside the structure, a part header is malformed, or there are too many parts.
        NoFilename: a part names no file.
    """
    form = _Form(body, boundary)
    count = 0
    while form.next_part():
        count += 1
        if count > max_parts:
            raise too_large(f"the upload has more than {max_parts} files; publish fewer at a time")
        yield _filename(form.header()), form.content


def too_large(message: str) -> MalformedUpload:
    """An upload beyond a limit; the text reaches the person who published."""
    return MalformedUpload(message, shown_by_clients("ErrValidation", message))


class _Form:
    """A cursor over a multipart body (RFC 2046, 5.1.1), with the liberties that Go takes."""

    def __init__(self, body: bytes, boundary: bytes) -> None:
        self._body = body
        self._place = 0
        self._delimiter = b"--" + boundary
        self._newline = b"\r\n"
        self._first = True

    def next_part(self) -> bool:
        """Move behind the next delimiter line; False at the closing one."""
        separated = False
        while True:
            line = self._line()
            if self._is_closing(line):
                return False
            if not line.endswith(b"\n"):
                raise _malformed()
            if self._is_delimiter(line):
                self._first = False
                return True
            if self._first:
                continue  # the preamble
            if separated or line != self._newline:
                raise _malformed()
            separated = True

    def header(self) -> dict[str, str]:
        """The part's header fields by lower-case name; the first of several counts."""
        start = self._place
        fields: list[bytes] = []
        while True:
            line = self._line()
            if not line.endswith(b"\n") or self._place - start > MAX_HEADER_BYTES:
                raise _malformed()
            line = line[:-1].removesuffix(b"\r")
            if line[:1] in (b" ", b"\t"):
                if not fields:
                    raise _malformed()
                fields[-1] = fields[-1].rstrip(_BLANKS) + b" " + line.strip(_BLANKS)
            elif not line:
                break
            else:
                fields.append(line)
        found: dict[str, str] = {}
        for entry in fields:
            name, colon, value = entry.partition(b":")
            if not colon:
                raise _malformed()
            text = value.strip(_BLANKS).decode("utf-8", "surrogateescape")
            found.setdefault(name.decode("latin-1").lower(), text)
        return found

    def content(self) -> bytes:
        """The bytes up to the next delimiter, without the line end before it.

        If there is none, all that is left: it is read as far as it goes, and the search for the next part then
        finds that the body ends early.
        """
        start = self._place
        if self._body.startswith(self._delimiter, start) and self._ends_at(start + len(self._delimiter)):
            return b""
        mark = self._newline + self._delimiter
        end = start
        while True:
            end = self._body.find(mark, end)
            if end < 0:
                self._place = len(self._body)
                return self._body[start:]
            if self._ends_at(end + len(mark)):
                self._place = end
                return self._body[start:end]
            end += len(mark)

    def _line(self) -> bytes:
        end = self._body.find(b"\n", self._place) + 1 or len(self._body)
        line = self._body[self._place : end]
        self._place = end
        return line

    def _is_delimiter(self, line: bytes) -> bool:
        if not line.startswith(self._delimiter):
            return False
        rest = line[len(self._delimiter) :].lstrip(_BLANKS)
        if self._first and rest == b"\n":
            self._newline = b"\n"
        return rest == self._newline

    def _is_closing(self, line: bytes) -> bool:
        closing = self._delimiter + b"--"
        return line.startswith(closing) and line[len(closing) :].lstrip(_BLANKS) in (b"", self._newline)

    def _ends_at(self, place: int) -> bool:
        """Whether what looks like a delimiter ends here, rather than being the beginning of other text."""
        following = self._body[place : place + 2]
        return following[:1] in (b"", b" ", b"\t", b"\r", b"\n") or following == b"--"


def _filename(header: dict[str, str]) -> str:
    try:
        _, parameters = parse_media_type(header.get("content-disposition", ""))
    except BadMediaType:
        parameters = {}
    name = parameters.get("filename", "")
    if not name:
        raise NoFilename("a part of the upload names no file")
    return name


def _malformed() -> MalformedUpload:
    return MalformedUpload("The body of your request is malformed.")
