"""Changes are noticed however they are made; what cannot be used is said once, and what expires in time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from notary_common.tls import PemFiles, ReloadingContext, TlsError, Validity, make_server, watch
from notary_common.tls.watch import DAY, Watcher
from tests.support.pki import LOCAL_NAMES, Authority

DEADLINE = 20.0


class Log:
    """What the watcher says: level, event, fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **fields: self.lines.append((level, event, fields))

    def about(self, word: str) -> list[tuple[str, str, dict[str, Any]]]:
        """The lines whose event holds the word."""
        return [line for line in self.lines if word in line[1]]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """In the place of the real one."""
    made = Log()
    monkeypatch.setattr(watch, "_log", made)
    return made


class Text:
    """A `Watched` whose material is a word in a file; `bad` cannot be used."""

    use = "word"

    def __init__(self, path: Path) -> None:
        self.paths: Collection[Path] = (path,)
        self.path = path
        self.word = path.read_text()

    def reload(self) -> bool:
        """See `Watched.reload`."""
        try:
            word = self.path.read_text()
        except OSError as error:
            raise TlsError(self.path, str(error.strerror)) from None
        if word == "bad":
            raise TlsError(self.path, "is bad")
        changed, self.word = word != self.word, word
        return changed

    def validities(self) -> Mapping[str, Validity]:
        """See `Watched.validities`."""
        return {}


async def eventually(holds: Callable[[], bool]) -> None:
    """Return as soon as `holds`."""
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(*some: Any, told: Callable[[Watcher], None] = lambda _: None) -> AsyncIterator[Watcher]:
    """A watcher at work, which listens and has had its look after it began to."""
    looks = 0

    def looked(watcher: Watcher) -> None:
        nonlocal looks
        looks += 1
        told(watcher)

    watcher = Watcher(looked)
    for one in some:
        watcher.add(one)
    async with watcher.running():
        await eventually(lambda: looks > any(one.paths for one in some))
        yield watcher


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at but what the system says has changed."""
    monkeypatch.setattr(watch, "PERIOD", 600.0)


def _mount(folder: Path, generation: int, word: str) -> None:
    """As Kubernetes puts a Secret's new content in place: another directory, then the link to it swapped."""
    data = folder / f"..{generation}"
    data.mkdir()
    (data / "word").write_text(word)
    link = folder / "..data_tmp"
    link.symlink_to(data.name)
    link.rename(folder / "..data")
    if generation:
        shutil.rmtree(folder / f"..{generation - 1}")


@pytest.mark.usefixtures("patient")
async def test_a_secret_swapped_by_kubernetes(tmp_path: Path, log: Log) -> None:
    """Several times, since each leaves another directory behind the link."""
    _mount(tmp_path, 0, "word 0")
    (tmp_path / "word").symlink_to("..data/word")
    text = Text(tmp_path / "word")
    async with watched(text):
        for generation in range(1, 4):
            _mount(tmp_path, generation, f"word {generation}")
            await eventually(lambda generation=generation: text.word == f"word {generation}")  # type: ignore[misc]
    assert log.about("refused") == []


@pytest.mark.usefixtures("patient")
async def test_files_replaced_and_rewritten(tmp_path: Path) -> None:
    """By renaming, in place, and in place behind a link into another directory."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "live").mkdir()
    real, link = tmp_path / "archive" / "word1", tmp_path / "live" / "word"
    real.write_text("first")
    link.symlink_to(real)
    text = Text(link)
    async with watched(text):
        real.write_text("rewritten behind the link")
        await eventually(lambda: text.word == "rewritten behind the link")
        (tmp_path / "live" / "new").write_text("renamed")
        (tmp_path / "live" / "new").rename(link)
        await eventually(lambda: text.word == "renamed")
        link.write_text("rewritten")
        await eventually(lambda: text.word == "rewritten")


async def test_without_the_systems_help(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be watched, files are looked at now and then; the log says so once."""
    monkeypatch.setattr(watch, "PERIOD", 0.05)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watch, "awatch", refuse)
    path = tmp_path / "word"
    path.write_text("old")
    text = Text(path)
    async with watched(text):
        path.write_text("new")
        await eventually(lambda: text.word == "new")
    assert len(log.about("cannot be watched")) == 1


@pytest.mark.usefixtures("patient")
async def test_a_pair_on_its_way_is_no_error(tmp_path: Path, log: Log) -> None:
    """The certificate first and the key a moment later: nothing is said, nothing counts as failed, both are taken."""
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("server", LOCAL_NAMES)
    listener = ReloadingContext(
        "listener", "client_ca", PemFiles(pair.certificate, pair.key), make_server, "server"
    )
    old, failed = listener.current(), []
    renewed = Authority(tmp_path / "pki").issue("other", LOCAL_NAMES)
    async with watched(listener, told=lambda watcher: failed.append(watcher.failed()["listener"])):
        renewed.certificate.rename(pair.certificate)
        await asyncio.sleep(0.2)
        assert listener.current() is old
        renewed.key.rename(pair.key)
        await eventually(lambda: listener.current() is not old)
        await eventually(lambda: len(failed) > 1)
    assert not any(failed)
    assert log.about("refused") == []
    assert log.about("new certificates are in use")[0][2]["use"] == "listener"


async def test_a_refusal_is_said_once_and_shown_until_it_is_over(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason; another reason is said, too. What is good again is taken."""
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    monkeypatch.setattr(watch, "SETTLING", (0.01,))
    path = tmp_path / "word"
    path.write_text("old")
    text = Text(path)
    looks: list[Watcher] = []
    async with watched(text, told=looks.append) as watcher:
        path.write_text("bad")
        await eventually(lambda: watcher.failed() == {"word": True})
        seen = len(looks)
        await eventually(lambda: len(looks) > seen + 3)
        assert [line[2] for line in log.about("refused")] == [{"use": "word", "reason": f"{path}: is bad"}]
        path.unlink()
        await eventually(lambda: len(log.about("refused")) == 2)
        assert text.word == "old"
        path.write_text("new")
        await eventually(lambda: text.word == "new" and watcher.failed() == {"word": False})
        assert len(log.about("can be used again")) == 1


async def test_one_that_is_bad_keeps_no_other_back(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is taken by itself."""
    monkeypatch.setattr(watch, "SETTLING", (0.01,))
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("old")
    second.write_text("old")
    bad, good = Text(first), Text(second)
    first.write_text("bad")
    second.write_text("new")
    async with watched(bad, good):
        await eventually(lambda: good.word == "new")


async def test_a_defect_ends_no_watching(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of is logged, and the next look comes."""
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    path = tmp_path / "word"
    path.write_text("old")
    text = Text(path)
    async with watched(text):
        with monkeypatch.context() as broken:
            broken.setattr(text, "reload", lambda: 1 / 0)
            await eventually(lambda: len(log.about("looking at certificate files failed")) > 0)
        path.write_text("new")
        await eventually(lambda: text.word == "new")


@pytest.mark.usefixtures("patient")
async def test_other_files_of_the_directory_do_not_matter(tmp_path: Path) -> None:
    """A database or a log that is written beside them costs no look."""
    path = tmp_path / "word"
    path.write_text("old")
    text = Text(path)
    looks: list[Watcher] = []
    async with watched(text, told=looks.append):
        before = len(looks)
        for number in range(5):
            (tmp_path / "log").write_text(f"line {number}")
            await asyncio.sleep(0.15)
        assert len(looks) == before
        path.write_text("new")
        await eventually(lambda: text.word == "new")


async def test_a_directory_that_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was taken away and made anew, as when a volume is mounted again, is watched anew."""
    monkeypatch.setattr(watch, "PERIOD", 0.2)
    monkeypatch.setattr(watch, "SETTLING", (0.01,))
    folder = tmp_path / "mount"
    folder.mkdir()
    path = folder / "word"
    path.write_text("old")
    text = Text(path)
    async with watched(text) as watcher:
        shutil.rmtree(folder)
        await eventually(lambda: watcher.failed() == {"word": True})
        folder.mkdir()
        path.write_text("new")
        await eventually(lambda: text.word == "new" and watcher.failed() == {"word": False})
        path.write_text("newer")
        await eventually(lambda: text.word == "newer")


class Ending(Text):
    """With a certificate that lives for so many days, of which so many are left."""

    def __init__(self, path: Path, life: float, left: float) -> None:
        super().__init__(path)
        self.paths = ()
        end = time.time() + left * DAY
        self.validity = Validity(end - life * DAY, end)

    def validities(self) -> Mapping[str, Validity]:
        """See `Watched.validities`."""
        return {"listener": self.validity}


@pytest.mark.parametrize(
    ("life", "left", "level"),
    [
        (365, 31, None),
        (365, 29, "warning"),
        (365, 6, "error"),
        (365, 0.5, "error"),
        (365, -0.1, "error"),
        # Renewed after two thirds of its life, as cert-manager does.
        (90, 29, "warning"),
        (60, 19, None),
        (60, 6, "error"),
        (0.05, 0.02, None),
        (0.05, -0.01, "error"),
    ],
)
async def test_an_expiry_is_said_ahead(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, life: float, left: float, level: str | None
) -> None:
    """30, 7 and 1 days ahead, each once, unless so much is a certificate's whole life; and when it is too late."""
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    path = tmp_path / "word"
    path.write_text("word")
    looks: list[Watcher] = []
    async with watched(Ending(path, life, left), told=looks.append) as watcher:
        await eventually(lambda: len(looks) > 3)
        assert set(watcher.expiries()) == {"listener"}
    assert [line[0] for line in log.about("expire")] == ([] if level is None else [level])
