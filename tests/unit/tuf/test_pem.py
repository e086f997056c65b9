"""PEM text and the certificates in it (RFC 7468; docs/reference/protocol.md, 9.2)."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tuf import pem
from tests.publisher import certificate_authority, ed25519_key, root_key

BODY = base64.b64encode(b"x" * 60)


def block(label: bytes = b"A", body: bytes = BODY, end: bytes | None = None) -> bytes:
    """One PEM block."""
    return (
        b"-----BEGIN "
        + label
        + b"-----\n"
        + body
        + b"\n-----END "
        + (label if end is None else end)
        + b"-----\n"
    )


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_written_text_is_read_back(values: list[bytes]) -> None:
    """What is dumped is found again, in order."""
    text = b"".join(map(pem.dump, values))
    assert [found.der for found in pem.blocks(text)] == values
    assert {found.label for found in pem.blocks(text)} <= {b"CERTIFICATE"}


def test_dump_equals_the_library() -> None:
    """A certificate is spelled as the library (and Go) spells it."""
    certificate = root_key("x").certificate
    assert pem.dump(certificate.public_bytes(Encoding.DER)) == certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"", []),
        (b"no block", []),
        (block(), [b"A"]),
        (b"text before\n" + block() + b"text between\n" + block(b"B C") + b"text after", [b"A", b"B C"]),
        (block().replace(b"\n", b"\r\n"), [b"A"]),
        (block(body=b"Key: value\nOther: value\n\n" + BODY), [b"A"]),
        (block(body=BODY[:20] + b" \n\t" + BODY[20:]), [b"A"]),
        (block(body=b""), [b"A"]),
        (block(end=b"B") + block(b"C"), [b"C"]),
        (block(body=b"!!!") + block(b"C"), [b"C"]),
        (block(body=b"AAA") + block(b"C"), [b"C"]),
        (b"x" + block(), []),
        (b"-----BEGIN A-----\n" + BODY, []),
        (b"-----BEGIN A-----\n-----BEGIN A-----\n" + BODY + b"\n-----END A-----", []),
        (block(body=BODY + b"\n" * 70_000), []),
    ],
)
def test_blocks(text: bytes, labels: list[bytes]) -> None:
    """Well-formed blocks are found among whatever text; malformed and endless ones are skipped, too long text is not read."""
    assert [found.label for found in pem.blocks(text)] == labels


@given(
    st.lists(
        st.sampled_from(
            [
                b"-----BEGIN A-----",
                b"-----END A-----",
                b"-----END ",
                b"\n",
                b"\r\n",
                b"AAAA",
                b":",
                b" ",
                b"-----",
            ]
        ),
        max_size=60,
    )
)
def test_any_text(pieces: list[bytes]) -> None:
    """No text makes the reader fail."""
    pem.blocks(b"".join(pieces))


def test_certificates() -> None:
    """A certificate over a key that Notary verifies with is read; anything else is not."""
    certificate = root_key("x").certificate
    der = certificate.public_bytes(Encoding.DER)
    assert pem.certificate(der) == certificate
    assert pem.certificate(der + b"\0") is None
    assert pem.certificate(der[:-1]) is None
    assert pem.certificate(b"") is None
    edwards = root_key("x", ed25519_key().private).certificate
    assert pem.certificate(edwards.public_bytes(Encoding.DER)) is None
    with pytest.raises(TypeError):
        pem.certificate_key(edwards)


def test_first_certificate_key() -> None:
    """The key is that of the first block, or none."""
    authority = certificate_authority()
    key = root_key("x", issuer=authority, chain=(authority.certificate,))
    assert pem.first_certificate_key(key.public) == key.certificate.public_key()
    assert pem.first_certificate_key(b"") is None
    assert pem.first_certificate_key(block() + key.public) is None
