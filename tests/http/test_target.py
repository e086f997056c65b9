"""Request targets, queries and error bodies: properties that hold for whatever arrives."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from notary_server.errors import InvalidUpdate, NotaryError
from notary_server.http.answer import spell_json
from notary_server.http.query import first_values
from notary_server.http.render import MAX_ERROR_BYTES, render
from notary_server.http.target import BadTarget, decode_target

PATHS = st.lists(
    st.sampled_from(["/", "/", ".", "..", "a", "%2e", "%2F", "%2f%2E", "é", "%C3", "%00", "*"])
).map("".join)


@given(st.one_of(PATHS.map("/".__add__), st.text(max_size=40)))
def test_a_redirect_always_leads_to_a_clean_address(raw: str) -> None:
    """Whatever is asked for: no address at all, or one whose clean form is clean and decodes to itself."""
    try:
        target = decode_target(raw)
    except BadTarget:
        return
    again = decode_target(target.clean_location)
    assert again.path == again.clean_path == target.clean_path
    assert again.query == target.query
    assert not {"", ".", ".."} & set(again.path.strip("/").split("/")) or again.path == "/"


@given(PATHS)
def test_only_slashes_doubled_means_just_that(path: str) -> None:
    """A path with dot segments is never taken for one with too many slashes."""
    target = decode_target("/" + path)
    if {".", ".."} & set(target.path.split("/")):
        assert not target.only_slashes_doubled
    if target.path == target.clean_path:
        assert target.only_slashes_doubled


def test_a_path_is_decoded_once() -> None:
    """An escaped percent sign stays one, and the query is left alone."""
    target = decode_target("/v2/%2541?a=%41%zz#f")
    assert (target.path, target.query) == ("/v2/%41", "a=%41%zz#f")


@given(st.text(max_size=60))
def test_any_query_can_be_read(query: str) -> None:
    """Reading a query never fails."""
    first_values(query)


def test_queries_are_read_as_go_reads_them() -> None:
    """First of several, plus as blank, escapes, case; semicolons and bad escapes drop their pair alone."""
    assert first_values("a=1&a=2&b=%2B+x&A=3&c;d=1&%zz=1&e=%z&&f&=g") == {
        "a": "1",
        "b": "+ x",
        "A": "3",
        "f": "",
        "": "g",
    }


@given(st.text(max_size=3000), st.text(max_size=3000), st.booleans())
def test_every_error_fits_into_what_clients_read(message: str, detail: str, typed: bool) -> None:
    """At most 1,024 bytes, exactly one error, valid JSON, however long or strange the texts are."""
    error = InvalidUpdate("ErrBadRoot", message, detail) if typed else NotaryError(message, detail)
    answer = render(error)
    assert len(answer.body) <= MAX_ERROR_BYTES
    assert answer.body.endswith(b"\n")
    (only,) = json.loads(answer.body)["errors"]
    if typed:
        assert only["detail"]["Name"] == "ErrBadRoot"
        assert set(only["detail"]["Error"]) == {"Msg", "Missing"}


def test_short_texts_are_not_touched() -> None:
    """What fits is sent as it is."""
    error = json.loads(render(InvalidUpdate("ErrBadTargets", "x" * 500)).body)["errors"][0]
    assert error["detail"]["Error"]["Msg"] == "x" * 500


def test_json_is_spelled_as_go_spells_it() -> None:
    """HTML's special characters and line separators are escaped, the rest is UTF-8; lone surrogates are replaced."""
    assert spell_json({"a": '<&>\u2028é"\ud800'}) == '{"a":"\\u003c\\u0026\\u003e\\u2028é\\"\ufffd"}'.encode()
