"""Multipart forms, in the original client's spelling or any other (docs/reference/protocol.md, 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BOUNDARY = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"


@dataclass(frozen=True)
class Part:
    """One part: `filename` is put into the client's usual disposition unless `headers` gives all of them."""

    filename: str
    data: bytes
    headers: tuple[str, ...] | None = None

    def lines(self) -> tuple[str, ...]:
        """The header lines of the part."""
        if self.headers is not None:
            return self.headers
        return (
            f'Content-Disposition: form-data; name="files"; filename="{self.filename}"',
            "Content-Type: application/octet-stream",
        )


def form(
    parts: Mapping[str, bytes] | Iterable[Part],
    *,
    boundary: str = BOUNDARY,
    eol: bytes = b"\r\n",
    preamble: bytes = b"",
    epilogue: bytes = b"",
    close: bool = True,
    subtype: str = "form-data",
) -> tuple[str, bytes]:
    """The `Content-Type` and body of an upload; `close` False leaves the last boundary out."""
    listed = [Part(name, data) for name, data in parts.items()] if isinstance(parts, Mapping) else list(parts)
    mark = b"--" + boundary.encode()
    body = preamble
    for part in listed:
        head = eol.join(line.encode() for line in part.lines())
        body += mark + eol + head + eol + eol + part.data + eol
    if close:
        body += mark + b"--" + eol
    return f"multipart/{subtype}; boundary={boundary}", body + epilogue
