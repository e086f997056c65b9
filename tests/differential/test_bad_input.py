"""Bad input against ours alone: always a 4xx with a code, never a 5xx, never a stored byte.

A damaged upload may still be a good one (white space, an extra signature, a field that may have any value).
Then it is accepted, and the strict client must be able to read the repository afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.publisher import Client, Publisher, Reply, Verifier, canonical, ecdsa_key, form

from .arena import shape_problem
from .fields import AB, A, filled, holed, places, signed_of, signed_with
from .mutations import Mutator
from .servers import OurServers

CODES = {
    "MALFORMED_UPLOAD",
    "NO_FILENAME",
    "INVALID_ROLE",
    "MALFORMED_JSON",
    "INVALID_UPDATE",
    "VERSION",
}
MUTATIONS = 10_000
SEED = 20_261_123
VALUES = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-1",
    b"-0",
    b"1.5",
    b"1e3",
    b"1e999",
    b"9007199254740993",
    b"9223372036854775808",
    b"1" + b"0" * 5000,
    b'""',
    b'"x"',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"' + b"x" * 70_000 + b'"',
    b"[]",
    b"[null]",
    b"[[[]]]",
    b'["x",1,null,{}]',
    b"{}",
    b'{"":null}',
    b'{"a":1,"a":2}',
    b'{"a":1,"A":2}',
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
]
"""What every field is replaced by, as raw JSON."""


class Repository:
    """One repository on our server, and the means to see that nothing changed it."""

    def __init__(self, client: Client, gun: str, *, own_snapshot: bool) -> None:
        self.client = client
        self.pub = Publisher(gun, snapshot=ecdsa_key() if own_snapshot else None).learn(client)
        self._first: dict[str, bytes] = {}
        self._seen: tuple[bytes, bytes] = (b"", b"")
        self.restore()

    @property
    def gun(self) -> str:
        """Its name."""
        return self.pub.gun

    def restore(self) -> None:
        """Begin anew: root, targets that delegate, a delegation, and a snapshot if the client signs it."""
        assert self.client.delete(self.gun).status == 200
        if not self._first:
            self._first = self.files(1)
        reply = self.client.publish(self.gun, self._first)
        assert reply.status == 200, str(reply)
        self._seen = self._look()

    def files(self, version: int) -> dict[str, bytes]:
        """A good upload of every role."""
        pub = self.pub
        files = {"root": pub.root(version), "targets": pub.targets(version, delegates=[A])}
        files[A] = pub.delegation(A, version, delegates=[AB])
        if pub.snapshot_keys:
            files["snapshot"] = pub.snapshot(files, version)
        return files

    def _look(self) -> tuple[bytes, bytes]:
        return self.client.role(self.gun, "timestamp.json").body, self.client.changes(self.gun).body

    def unchanged(self) -> None:
        """Fail if anything was stored since the last good publish."""
        assert self._look() == self._seen, "something was stored"

    def judge(self, reply: Reply, what: str) -> bool:
        """Whether the upload was refused; if not, the repository must be readable, and begins anew."""
        if reply.status == 200:
            problems = Verifier(self.client, self.gun).problems()
            # A parent may withdraw its trust in a delegation: clients then pass that one over.
            problems = [
                problem
                for problem in problems
                if not problem.startswith((f"{A}: 0 good", f"{A}: a key is filed"))
            ]
            assert problems == [], f"{what} was accepted, and now: {problems}"
            self.restore()
            return False
        assert 400 <= reply.status < 500, f"{what}: {reply}"
        assert reply.code in CODES, f"{what}: {reply}"
        problem = shape_problem(reply)
        # A role name that the upload made up may look hexadecimal; it is the client's own text.
        assert problem is None or reply.code == "INVALID_ROLE", f"{what}: {problem}"
        return True

    def send(self, content_type: str, body: bytes, what: str) -> bool:
        """Upload a body over the kept connection, and judge the answer."""
        reply = self.client.upload(self.gun, content_type, body)
        if reply.status == 0:  # the connection was closed after the answer before
            reply = self.client.upload(self.gun, content_type, body)
        return self.judge(reply, what)


@pytest.fixture(scope="module")
def kept(ours: OurServers) -> Iterator[Client]:
    """One connection for thousands of requests."""
    client = Client(ours.stack.url, str(ours.stack.ca_file), keep_alive=True)
    yield client
    client.close()


@pytest.fixture(scope="module", params=["server snapshot", "own snapshot"])
def repository(kept: Client, request: pytest.FixtureRequest) -> Repository:
    """A repository whose snapshot the server or the client signs."""
    own = request.param == "own snapshot"
    return Repository(kept, f"bad/input-{'own' if own else 'server'}", own_snapshot=own)


@pytest.mark.differential
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["root", "targets", A])
def test_every_field_with_every_type(kept: Client, role: str) -> None:
    """Whatever stands in a field, signed as it stands, the answer is a 4xx with a code, or a sound repository."""
    repository = Repository(kept, f"bad/fields-{role.replace('/', '-')}", own_snapshot=False)
    signed, keys = signed_of(repository.pub, repository.files(2), role)
    refused = 0
    for path in [*places(signed)]:
        document = holed(signed, path)
        for raw in VALUES:
            data = signed_with(document, keys, raw)
            refused += repository.send(*form({role: data}), f"{role} {path} = {raw[:30]!r}")
    repository.unchanged()
    assert refused > 100


@pytest.mark.differential
@pytest.mark.timeout(900)
def test_every_field_of_a_snapshot(kept: Client) -> None:
    """The same for a snapshot that the client signs, sent with the files it lists."""
    repository = Repository(kept, "bad/fields-snapshot", own_snapshot=True)
    files = repository.files(2)
    snapshot = files.pop("snapshot")
    signed = Reply(200, body=snapshot).json["signed"]
    refused = 0
    for path in [*places(signed)]:
        document = holed(signed, path)
        for raw in VALUES:
            data = signed_with(document, repository.pub.snapshot_keys, raw)
            refused += repository.send(*form({**files, "snapshot": data}), f"snapshot {path} = {raw[:30]!r}")
    repository.unchanged()
    assert refused > 100


@pytest.mark.differential
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["root", "targets", A, "timestamp"])
def test_every_field_of_the_envelope(kept: Client, role: str) -> None:
    """Wrong types around `signed`, in every role that has a part."""
    repository = Repository(kept, f"bad/envelope-{role.replace('/', '-')}", own_snapshot=False)
    files = repository.files(2)
    files["timestamp"] = files["targets"]
    document = Reply(200, body=files[role]).json
    outer = [path for path in places(document) if path[0] != "signed" or len(path) == 1]
    for path in outer:
        for raw in VALUES:
            data = filled(canonical(holed(document, path)), raw)
            repository.send(*form({role: data}), f"{role} {path} = {raw[:30]!r}")
    repository.unchanged()


@pytest.mark.differential
@pytest.mark.timeout(900)
def test_duplicate_members(kept: Client) -> None:
    """A member that is there twice, or in another case too, never makes an upload mean something else."""
    repository = Repository(kept, "bad/duplicates", own_snapshot=False)
    for role, good in repository.files(2).items():
        for name in (
            b"_type",
            b"version",
            b"expires",
            b"signed",
            b"signatures",
            b"targets",
            b"keys",
            b"roles",
        ):
            mark = b'"' + name + b'":'
            for other in (mark, mark.upper(), mark.title()):
                for value in (b"null", b"9", b'"x"', b"{}", b"[]"):
                    data = good.replace(mark, other + value + b"," + mark)
                    if data != good:
                        what = f"{role} {other + value!r} besides {name!r}"
                        assert repository.send(*form({role: data}), what), f"{what} was accepted"
    repository.unchanged()


@pytest.mark.differential
@pytest.mark.timeout(900)
def test_truncated_bodies(repository: Repository) -> None:
    """An upload that ends anywhere is refused."""
    content_type, body = form(repository.files(2))
    for size in range(0, len(body) - 3, 29):
        assert repository.send(content_type, body[:size], f"the first {size} bytes"), (
            f"{size} bytes were accepted"
        )
    repository.unchanged()


@pytest.mark.differential
@pytest.mark.timeout(1800)
def test_random_mutations(repository: Repository) -> None:
    """Five thousand random mutations of a good upload for each way to sign the snapshot."""
    mutator = Mutator(SEED)
    content_type, body = form(repository.files(2))
    refused = 0
    for number in range(MUTATIONS // 2):
        refused += repository.send(content_type, mutator.mutate(body), f"mutation {number}")
        if number % 500 == 0:
            repository.unchanged()
    repository.unchanged()
    assert refused > MUTATIONS // 4
