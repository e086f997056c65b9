"""Asking a trust server as its clients do: what is fetched, and the sentence for everything that is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notary_server.takeover import remote
from notary_server.takeover.mirror import named_by_changefeed
from notary_server.takeover.remote import RemoteProblem, RemoteServer

Answer = Callable[[web.Request], Awaitable[web.Response]]


class Old:
    """A server that answers as it is told."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        """What was put under the path and query of the request; else 404."""
        self.asked.append(request)
        status, body = self.answers.get(request.path_qs, (404, ""))
        return web.Response(
            status=status, text=body, headers={"Location": "/elsewhere"} if status == 302 else {}
        )


@pytest.fixture
async def old() -> AsyncIterator[tuple[Old, str]]:
    """That server, and where it is."""
    made = Old()
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", made.answer)
    server = TestServer(application)
    await server.start_server()
    yield made, f"http://127.0.0.1:{server.port}"
    await server.close()


async def test_files_are_fetched_under_their_addresses(old: tuple[Old, str]) -> None:
    """A file that is there, one that is not, and the token with both."""
    server, url = old
    server.answers["/v2/docker.io/a%20b/_trust/tuf/targets/x.json"] = (200, "bytes")
    async with RemoteServer(url + "/", None, "a token") as asked:
        assert await asked.get("docker.io/a b", "targets/x.json") == b"bytes"
        assert await asked.get("docker.io/a b", "root.json") is None
    assert {request.headers["Authorization"] for request in server.asked} == {"Bearer a token"}


@pytest.mark.parametrize(
    ("status", "words"), [(401, "scope registry:catalog"), (403, "token"), (500, "status 500"), (302, "302")]
)
async def test_other_answers_stop_with_a_sentence(old: tuple[Old, str], status: int, words: str) -> None:
    """Redirects are not followed: the token would go elsewhere."""
    server, url = old
    server.answers["/v2/a/_trust/tuf/root.json"] = (status, "")
    async with RemoteServer(url, None, None) as asked:
        with pytest.raises(RemoteProblem, match=words):
            await asked.get("a", "root.json")


async def test_a_file_that_is_too_long(old: tuple[Old, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read into memory whole."""
    server, url = old
    monkeypatch.setattr(remote, "MAX_FILE_BYTES", 10)
    server.answers["/v2/a/_trust/tuf/root.json"] = (200, "x" * 11)
    server.answers["/v2/b/_trust/tuf/root.json"] = (200, "x" * 10)
    async with RemoteServer(url, None, None) as asked:
        assert await asked.get("b", "root.json") == b"x" * 10
        with pytest.raises(RemoteProblem, match="more than 10 bytes"):
            await asked.get("a", "root.json")


async def test_a_server_that_is_not_there() -> None:
    """Said with its address."""
    async with RemoteServer("http://127.0.0.1:9", None, None) as asked:
        with pytest.raises(RemoteProblem, match=r"http://127\.0\.0\.1:9 cannot be asked"):
            await asked.get("a", "root.json")


async def test_the_changefeed_names_what_is_there(old: tuple[Old, str]) -> None:
    """Page by page; what was deleted last is left out, what was published again is not."""
    server, url = old
    record = '{{"ID": "{}", "CreatedAt": "", "GUN": "{}", "Version": 1, "SHA256": "", "Category": "{}"}}'
    changes = [
        ("1", "b", "update"),
        ("2", "a", "update"),
        ("3", "a", "deletion"),
        ("4", "c", "deletion"),
        ("5", "c", "update"),
    ]
    pages = [changes[:3], changes[3:], []]
    after = "0"
    for page in pages:
        body = ",".join(record.format(*change) for change in page)
        server.answers[f"/v2/_trust/changefeed?records=1000&change_id={after}"] = (
            200,
            f'{{"count": 1, "records": [{body}]}}',
        )
        after = page[-1][0] if page else after
    async with RemoteServer(url, None, None) as asked:
        assert await named_by_changefeed(asked) == ["b", "c"]


@pytest.mark.parametrize(
    "body", ["", "[]", '{"records": [{}]}', '{"records": null}', '{"records": [{"ID": "x"}]}']
)
async def test_a_changefeed_that_is_none(old: tuple[Old, str], body: str) -> None:
    """Something else answers at that address."""
    server, url = old
    server.answers["/v2/_trust/changefeed?records=1000&change_id=0"] = (200, body)
    async with RemoteServer(url, None, None) as asked:
        with pytest.raises(RemoteProblem, match="changefeed"):
            await named_by_changefeed(asked)


async def test_a_server_without_a_changefeed(old: tuple[Old, str]) -> None:
    """The remedy is a list."""
    async with RemoteServer(old[1], None, None) as asked:
        with pytest.raises(RemoteProblem, match="--guns FILE"):
            await named_by_changefeed(asked)
