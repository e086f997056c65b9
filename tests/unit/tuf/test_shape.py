"""The shapes of documents by themselves; what they are for is tested with parsing."""

from __future__ import annotations

from notary_server.tuf import shape


def test_a_place_without_known_members() -> None:
    """Where no member is known, none can be misspelled, and null stays what it is."""
    nowhere = shape.Shape()
    assert shape.misspelled({"Keys": 1, "keys": 2}, nowhere) is None
    assert shape.as_go_reads({"a": None}, nowhere) == {"a": None}


def test_reading_as_go_does_keeps_the_original() -> None:
    """Reading null as Go does makes a new value and leaves the received one alone."""
    received = {"meta": {"root": {"length": None, "hashes": {"sha256": None}}}}
    assert shape.as_go_reads(received, shape.META_SHAPE) == {"meta": {"root": {"hashes": {"sha256": ""}}}}
    assert received == {"meta": {"root": {"length": None, "hashes": {"sha256": None}}}}
