"""Shares of a key-encryption key, the files that carry it, and the frames between the signer and its token."""

from __future__ import annotations

import itertools
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notary_signer.token import messages, sharing
from notary_signer.token.problems import TokenProblem
from notary_signer.token.sharing import KekShare, TransportKey, Witness, WrappedKek

KEK = bytes(range(32))
WITNESS = Witness(b"public", b"blob", "AES256-KWP")
WRAPPED = WrappedKek("notary-kek-1", "f", "sha1", b"w", WITNESS)


def shares(threshold: int = 2, custodians: int = 3, kek: bytes = KEK) -> list[KekShare]:
    return sharing.split("notary-kek-1", bytearray(kek), custodians, threshold, WITNESS)


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(2, 4), st.integers(0, 2))
def test_any_threshold_of_shares_makes_the_key(kek: bytes, threshold: int, more: int) -> None:
    """Whichever custodians come, in whatever order; and no share holds the key."""
    made = shares(threshold, threshold + more, kek)
    for chosen in itertools.islice(itertools.permutations(made, threshold), 6):
        assert sharing.combine(list(chosen)) == kek
    assert len({share.words for share in made}) == threshold + more


def test_too_few_or_damaged_shares_make_nothing() -> None:
    """One less than the threshold, a changed word, or shares of another split: a sentence without the words."""
    made = shares(3, 5)
    first, *rest = made[0].words.split()
    damaged = msgspec.structs.replace(made[0], words=" ".join([*rest[::-1], first]))
    for chosen in (made[:2], [damaged, *made[1:3]], [*made[:2], shares(3, 5)[2]]):
        with pytest.raises(TokenProblem) as caught:
            sharing.combine(chosen)
        assert not set(str(caught.value).split()) & set(made[0].words.split())


def test_files_are_the_owners_own_and_never_replaced(tmp_path: Path) -> None:
    """Mode 0600 from the first moment; a second write of the same name is refused and changes nothing."""
    path = tmp_path / "share.json"
    sharing.write_new(path, shares()[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(TokenProblem, match="left as it is"):
        sharing.write_new(path, WRAPPED)
    with pytest.raises(TokenProblem, match="left as it is"):
        sharing.require_new([path])
    assert path.read_bytes() == before
    with pytest.raises(TokenProblem, match="folder"):
        sharing.require_new([tmp_path / "none" / "share.json"])


def test_files_are_read_back_if_they_belong_together(tmp_path: Path) -> None:
    """One encrypted key, or enough different shares of one split; else a sentence says what is wrong."""
    written: dict[str, Path] = {}
    contents: dict[str, msgspec.Struct] = {f"share{share.number}": share for share in shares()}
    other = msgspec.structs.replace(shares()[0], witness=Witness(b"other", b"blob", "AES256-KWP"))
    for name, content in {**contents, "wrapped": WRAPPED, "other": other}.items():
        written[name] = tmp_path / name
        sharing.write_new(written[name], content)
    (tmp_path / "junk").write_text("{}")
    written["junk"] = tmp_path / "junk"

    def read(*names: str) -> WrappedKek | list[KekShare]:
        return sharing.read_kek_files([written[name] for name in names])

    assert read("wrapped") == WRAPPED
    assert read("share3", "share1", "share2") == [contents["share1"], contents["share2"]]
    for names, words in {
        ("share1",): "2 custodians",
        ("share1", "share1"): "2 custodians",
        ("share1", "wrapped"): "not both",
        ("share1", "other"): "different",
        ("junk",): "no file",
    }.items():
        with pytest.raises(TokenProblem, match=words):
            read(*names)
    with pytest.raises(TokenProblem, match="cannot read"):
        sharing.read_kek_files([tmp_path / "none"])


def test_a_weak_transport_key_is_refused(tmp_path: Path) -> None:
    """Nothing is encrypted for a key that could be broken."""
    path = tmp_path / "key.json"
    sharing.write_new(path, TransportKey(bytes([255]) * 128, 65537, ["sha1"], "a token"))
    with pytest.raises(TokenProblem, match="weak"):
        sharing.read_transport_key(path)


@pytest.mark.parametrize(("custodians", "threshold"), [(1, 1), (17, 2), (3, 1), (3, 4), (0, 0)])
def test_how_a_key_cannot_be_shared(custodians: int, threshold: int) -> None:
    """What SLIP-39 does not allow, and what would be no sharing."""
    assert sharing.sharing_problem(custodians, threshold) is not None
    assert sharing.sharing_problem(5, 3) is None


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_messages_survive_any_cut(payloads: list[bytes], cuts: list[int]) -> None:
    """However the socket cuts the stream, the messages come out whole and in order."""
    sent = [messages.Generate("ecdsa", payload.hex()) for payload in payloads]
    stream = b"".join(messages.frame(message) for message in sent)
    frames, got, sizes = messages.Frames(), [], itertools.cycle(cuts)
    while stream:
        size = next(sizes)
        got += frames.take(stream[:size])
        stream = stream[size:]
    assert [msgspec.msgpack.decode(message, type=messages.Question) for message in got] == sent


def test_a_length_that_cannot_be_ends_it() -> None:
    """A stream that is not ours is not collected for ever."""
    with pytest.raises(ValueError, match="length"):
        messages.Frames().take(b"\xff\xff\xff\xff")
