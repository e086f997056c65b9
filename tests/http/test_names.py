"""Whose repository an address names: decoded once, and what is authorised is the very name that is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from notary_server.auth.access import ANONYMOUS, Identity, Wanted
from notary_server.ports import MetadataStore
from tests.publisher import Publisher

from .running import Running

ADDRESSES = {
    # No name at all, or none that a repository can have.
    "/v2/../secret/_trust/tuf/root.json": None,
    "/v2/a/%2e%2e/secret/_trust/tuf/root.json": None,
    "/v2/a/%2E%2e/secret/_trust/tuf/root.json": None,
    "/v2/a/.%2e/secret/_trust/tuf/root.json": None,
    "/v2/a/%2e/b/_trust/tuf/root.json": None,
    "/v2/a%2f%2e%2e%2fsecret/_trust/tuf/root.json": None,
    "/v2/a/..%5csecret/_trust/tuf/root.json": None,
    "/v2/a%5Cb/_trust/tuf/root.json": None,
    "/v2/a%00/_trust/tuf/root.json": None,
    "/v2/a%0a/_trust/tuf/root.json": None,
    "/v2/a%7f/_trust/tuf/root.json": None,
    "/v2/a%c2%85/_trust/tuf/root.json": None,
    "/v2/a%20/_trust/tuf/root.json": None,
    "/v2/%20a/_trust/tuf/root.json": None,
    "/v2/a%e2%80%ae/_trust/tuf/root.json": None,
    "/v2/a%e2%80%8b/_trust/tuf/root.json": None,
    # Overlong and otherwise invalid UTF-8: '.', '/', NUL, a surrogate, beyond Unicode, cut off.
    "/v2/a/%c0%ae%c0%ae/secret/_trust/tuf/root.json": None,
    "/v2/a%c0%afb/_trust/tuf/root.json": None,
    "/v2/a%e0%80%afb/_trust/tuf/root.json": None,
    "/v2/a%c0%80/_trust/tuf/root.json": None,
    "/v2/a%ed%a0%80/_trust/tuf/root.json": None,
    "/v2/a%f5%80%80%80/_trust/tuf/root.json": None,
    "/v2/a%e2%82/_trust/tuf/root.json": None,
    # Decoded once: what a second decoding would make of it does not matter.
    "/v2/a/%252e%252e/b/_trust/tuf/root.json": "a/%2e%2e/b",
    "/v2/a%252fb/_trust/tuf/root.json": "a%2fb",
    "/v2/a%25zz/_trust/tuf/root.json": "a%zz",
    # The same name in other spellings.
    "/v2/a%2fb/_trust/tuf/root.json": "a/b",
    "/v2/a%2Fb/_trust/tuf/root.json": "a/b",
    "/v2/%61/%62/_trust/tuf/root.json": "a/b",
    "/v2/a/b/%5ftrust/tuf/root.json": "a/b",
    "/v2/a/b/_trust%2ftuf%2froot.json": "a/b",
    "//v2//a//b/_trust/tuf/root.json": "a/b",
    "/v2/a/b%2f/_trust/tuf/root.json": "a/b",
    # Look-alikes are names of their own, never folded into others.
    "/v2/a/%ef%bc%8e%ef%bc%8e/b/_trust/tuf/root.json": "a/\uff0e\uff0e/b",
    "/v2/a%ef%bc%8fb/_trust/tuf/root.json": "a\uff0fb",
    "/v2/A/B/_trust/tuf/root.json": "A/B",
    "/v2/a/.../_trust/tuf/root.json": "a/...",
    "/v2/e%cc%81/_trust/tuf/root.json": "e\u0301",
    "/v2/%c3%a9/_trust/tuf/root.json": "\u00e9",
    "/v2/a+b/_trust/tuf/root.json": "a+b",
    "/v2/a;b=c/_trust/tuf/root.json": "a;b=c",
    # The last `/_trust/` counts.
    "/v2/a/_trust/tuf/root.json/_trust/tuf/root.json": "a/_trust/tuf/root.json",
    "/v2/a/_trust/changefeed/_trust/tuf/root.json": "a/_trust/changefeed",
    "/v2/a%2f_trust%2ftuf%2fb/_trust/tuf/root.json": "a/_trust/tuf/b",
    "/v2/a/_trust/tuf/root.json%3f/_trust/tuf/root.json": "a/_trust/tuf/root.json?",
    "/v2/a/_trust/tuf/root.json?/../../secret": "a",
    "/v2/a%3fb/_trust/tuf/root.json": "a?b",
    "/v2/a%23b/_trust/tuf/root.json": "a#b",
}
"""Request targets, and the repository that each names; None: no route answers, or a redirect to a clean address does."""


class Recorder:
    """Implements `AccessController` and, around a store, `MetadataStore`: what was authorised, what was looked up."""

    guarded = True

    def __init__(self) -> None:
        self.authorized: list[str] = []
        self.looked_up: list[str] = []
        self.store: MetadataStore | None = None

    async def authorize(self, wanted: Wanted, headers: Mapping[str, str]) -> Identity:
        """Everybody may do everything."""
        self.authorized.append(wanted.gun)
        return ANONYMOUS

    def wrap(self, store: MetadataStore) -> MetadataStore:
        """Record reads by role."""
        self.store = store
        return self  # type: ignore[return-value]

    def __getattr__(self, name: str) -> object:
        found = getattr(self.store, name)
        if name != "current":
            return found

        async def current(gun: str, role: str) -> object:
            self.looked_up.append(gun)
            return await found(gun, role)

        return current


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    """What the server below records."""
    return Recorder()


@pytest.fixture(scope="module")
def recorded(recorder: Recorder) -> Iterator[Running]:
    """A server that records."""
    with Running(wrap_store=recorder.wrap, access=recorder) as running:
        yield running


@pytest.mark.parametrize("target", ADDRESSES)
def test_what_is_authorised_is_what_is_served(recorded: Running, recorder: Recorder, target: str) -> None:
    """However a name is spelled, access is decided on the decoded one, and that one is looked up, once."""
    recorder.authorized.clear()
    recorder.looked_up.clear()
    reply = recorded.ask("GET", target)
    wanted = ADDRESSES[target]
    if wanted is None:
        assert reply.status in {301, 404}
        assert (recorder.authorized, recorder.looked_up) == ([], [])
    else:
        assert reply.status == 404  # there is no such repository
        assert recorder.looked_up == recorder.authorized == [wanted]


@pytest.mark.parametrize("gun", ["a%5Cb", "a%09", "%20a", "a%e2%80%8bb", "a/%c0%ae"])
def test_what_cannot_be_published_says_why(recorded: Running, gun: str) -> None:
    """400 in the shape that clients show, before the upload is even looked at."""
    reply = recorded.client.request("POST", f"/v2/{gun}/_trust/tuf/", b"")
    assert (reply.status, reply.code, reply.name) == (400, "INVALID_GUN", "ErrValidation")
    assert len(reply.body) <= 1024


def test_names_that_nobody_may_have_any_more_are_not_served_but_shown() -> None:
    """Such rows of an adopted database are left alone: reads find nothing, the operator's list marks them."""
    from notary_server.repository_report import list_as_text, listed

    old = "old\\name"
    with Running() as running:
        owner = Publisher("plain/name").learn(running.client)
        assert running.client.publish("plain/name", owner.first()).status == 200
        state = running.call(running.store.trust_state("plain/name", ()))  # type: ignore[arg-type]
        assert state.latest
        running.tamper("UPDATE tuf_files SET gun = :new WHERE gun = :old", old="plain/name", new=old)
        assert running.ask("GET", "/v2/old%5Cname/_trust/tuf/root.json").status == 404
        rows = [listed(one) for one in running.call(running.store.repositories())]
        assert [(row["gun"], row["problem"]) for row in rows] == [
            (old, "the repository name holds a backslash")
        ]
        assert "not served: the repository name holds a backslash" in list_as_text(rows)
