"""What a case is: a play on one repository, and what each server has to answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.publisher import Client, Part, Publisher, Reply, key_id

Side = Literal["old", "ours"]
Play = Callable[["Stage"], Reply]
ANY: Any = object()


@dataclass(frozen=True)
class Answer:
    """What a server has to answer; `detail` and `body` are compared whole unless ANY."""

    status: int
    code: str | None = None
    name: str | None = None
    detail: Any = ANY
    body: Any = ANY

    def problem(self, reply: Reply) -> str | None:
        """Why `reply` is not this answer, None if it is."""
        wanted = (self.status, self.code, self.name)
        # The name in other codes' detail only makes clients show the text; the old server has none there.
        name = reply.name if reply.code == "INVALID_UPDATE" else None
        if (reply.status, reply.code, name) != wanted:
            return f"wanted {wanted}, got {reply}"
        if self.detail is not ANY and reply.error.get("detail") != self.detail:
            return f"wanted detail {self.detail!r}, got {reply}"
        if self.body is not ANY and reply.body != self.body:
            return f"wanted body {self.body!r}, got {reply}"
        return None


OK = Answer(200)
NOT_FOUND = Answer(404, "METADATA_NOT_FOUND")
MALFORMED_JSON = Answer(400, "MALFORMED_JSON")
MALFORMED_UPLOAD = Answer(400, "MALFORMED_UPLOAD")
NO_FILENAME = Answer(400, "NO_FILENAME")
VERSION = Answer(400, "VERSION")
UNKNOWN = Answer(500, "UNKNOWN")
NO_ANSWER = Answer(0)


def invalid(name: str | None) -> Answer:
    """INVALID_UPDATE with that `detail.Name`."""
    return Answer(400, "INVALID_UPDATE", name)


BAD_ROOT = invalid("ErrBadRoot")
BAD_TARGETS = invalid("ErrBadTargets")
BAD_SNAPSHOT = invalid("ErrBadSnapshot")
BAD_VALIDATION = invalid("ErrValidation")
BAD_HIERARCHY = invalid("ErrBadHierarchy")


@dataclass(frozen=True)
class Case:
    """One play.

    Attributes:
        answer: what ours must answer, and the old one too unless `old` says otherwise.
        flaw: number of the flaw that the case shows; then the two servers are not compared.
        old: what the old server answers where that is the flaw.
        freedom: name of a freedom in `freedoms.py` that ours may take.
        variant: the server configuration to play on (`servers.py`).
        old_problems: a flaw that shows in the aftermath: a word of the strict client's complaint.
        unclean: the strict client may complain about the repository of both servers (an expired file, for one).
    """

    name: str
    play: Play
    answer: Answer
    flaw: int | None = None
    old: Answer | None = None
    freedom: str | None = None
    variant: str = "plain"
    old_problems: str | None = None
    unclean: bool = False

    def wanted(self, side: Side) -> Answer:
        """What `side` must answer."""
        return self.old if side == "old" and self.old is not None else self.answer


@dataclass
class Stage:
    """One repository on one server, and all that was done there.

    Attributes:
        files: label of every file seen, by hex SHA-256: what was sent (`targets#1`) or what the server made.
        keys: label of every key seen, by key ID.
        accepted: how many changes the server acknowledged on `gun`.
        refused: role and hex SHA-256 of every file that the server refused.
        notes: further observations, compared between the servers.
    """

    side: Side
    client: Client
    gun: str
    pub: Publisher = field(init=False)
    files: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    accepted: int = 0
    refused: set[tuple[str, str]] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)

    def owner(self, **keys: Any) -> Publisher:
        """A publisher of this repository that has asked the server for its keys."""
        self.pub = Publisher(self.gun, **keys).learn(self.client)
        self.name_keys(self.pub)
        return self.pub

    def name_keys(self, pub: Publisher) -> None:
        """Remember whose keys these are."""
        for role, objects in pub.role_objects().items():
            for key in objects:
                server = key == pub.server_keys.get(role)
                self.keys.setdefault(key_id(key), f"{'server' if server else 'own'} {role} key")

    def publish(self, parts: Mapping[str, bytes] | Iterable[Part], **spelling: Any) -> Reply:
        """Upload to this repository and remember what was sent and what became of it."""
        listed = (
            [Part(name, data) for name, data in parts.items()] if isinstance(parts, Mapping) else list(parts)
        )
        return self.sent(listed, self.client.publish(self.gun, listed, **spelling))

    def sent(self, parts: Iterable[Part], reply: Reply) -> Reply:
        """Remember an upload that was sent by other means."""
        for part in parts:
            digest = hashlib.sha256(part.data).hexdigest()
            role = part.filename.removesuffix(".json")
            number = 1 + sum(label.startswith(f"{role}#") for label in self.files.values())
            self.files.setdefault(digest, f"{role}#{number}")
            if reply.status == 200:
                self.kept.add(digest)
            else:
                self.refused.add((role, digest))
        self.accepted += reply.status == 200
        return reply

    def established(self, **keys: Any) -> Publisher:
        """A publisher whose first publish was accepted."""
        pub = self.owner(**keys)
        reply = self.publish(pub.first())
        assert reply.status == 200, f"{self.side} refused a first publish: {reply}"
        return pub

    def good(self, parts: Mapping[str, bytes], **spelling: Any) -> None:
        """An upload that must be accepted on the way to what the case is about."""
        reply = self.publish(parts, **spelling)
        assert reply.status == 200, f"{self.side} refused an upload on the way: {reply}"

    def read(self, name: str) -> Reply:
        """GET the last part of an address under `tuf/`."""
        return self.client.role(self.gun, name)

    def address(self, rest: str) -> str:
        """The path of this repository's `rest`."""
        return self.client.path(self.gun, rest)

    def delete(self) -> Reply:
        """DELETE the repository."""
        reply = self.client.delete(self.gun)
        self.kept.clear()
        return reply
