"""The PIN file, the module's place and the socket's directory."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from notary_signer.errors import StartRefused
from notary_signer.listen import unix_socket
from notary_signer.token.module import find_module
from notary_signer.token.pin import exposure, read_pin
from notary_signer.token.problems import TokenProblem


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"12 34", b"12 34\n", b"12 34\r\n"])
def test_a_pin_ends_with_its_line(tmp_path: Path, content: bytes) -> None:
    """The line's end is no part of the PIN, a space is."""
    assert read_pin(write(tmp_path / "pin", content)) == b"12 34"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o660, 0o646])
def test_a_pin_file_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    """Who can write the PIN can lock the token; the text says how to repair it."""
    with pytest.raises(TokenProblem, match="chmod 600"):
        read_pin(write(tmp_path / "pin", b"1234", mode))


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o440, False), (0o644, True), (0o604, True)])
def test_a_pin_file_that_everybody_may_read_is_warned_of(tmp_path: Path, mode: int, warned: bool) -> None:
    """It is taken, and the operator is told."""
    path = write(tmp_path / "pin", b"1234", mode)
    assert read_pin(path) == b"1234"
    assert ("chmod 600" in (exposure(path) or "")) is warned


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 256, b"12\n34", b"\xff\xfe", b"12\0"])
def test_what_is_no_pin_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """An unfit PIN file is refused, and no error repeats what is in it."""
    with pytest.raises(TokenProblem) as caught:
        read_pin(write(tmp_path / "pin", content))
    text = content.decode("latin-1").strip()
    assert not text or text not in str(caught.value)


def test_a_missing_pin_file_or_a_directory_is_refused(tmp_path: Path) -> None:
    """The text names the key."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(TokenProblem, match="pin_file"):
            read_pin(path)


def test_the_module_is_found_or_named(tmp_path: Path) -> None:
    """SoftHSM is found by itself; a configured file must be there."""
    assert find_module(None).name == "libsofthsm2.so"
    with pytest.raises(TokenProblem, match=r"pkcs11\.module"):
        find_module(tmp_path / "none.so")


def test_a_socket_is_the_users_own(tmp_path: Path) -> None:
    """The socket has mode 0600 from its first moment."""
    tmp_path.chmod(0o700)
    with unix_socket(tmp_path / "s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    """Nobody else may be able to put another socket in the signer's place."""
    for mode in (0o770, 0o707, 0o1777):
        tmp_path.chmod(mode)
        with pytest.raises(StartRefused, match="0700"):
            unix_socket(tmp_path / "s")
    with pytest.raises(StartRefused):
        unix_socket(tmp_path / "none" / "s")


def test_a_leftover_is_replaced_and_a_living_socket_is_not(tmp_path: Path) -> None:
    """A killed signer's socket does not hinder the next; a running one's does, and so does a file."""
    tmp_path.chmod(0o700)
    path = tmp_path / "s"
    unix_socket(path).close()
    assert path.is_socket()
    with unix_socket(path) as bound:
        bound.listen()
        with pytest.raises(StartRefused, match="listens"):
            unix_socket(path)
    assert isinstance(bound, socket.socket)
    path.unlink()
    path.write_text("")
    with pytest.raises(StartRefused, match="no socket"):
        unix_socket(path)
