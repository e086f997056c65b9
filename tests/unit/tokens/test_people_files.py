"""The files with users and robots, and a file that changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest

from notary_server.tokens.files import FileProblem, write_whole
from notary_server.tokens.htpasswd import load_users
from notary_server.tokens.robots import Robot, load_robots, new_robot, store_robots
from notary_server.tokens.watched import Watched

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _hash(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "file"


def _problems(file: Path) -> list[str]:
    with pytest.raises(FileProblem) as caught:
        load_users(file)
    return caught.value.problems


def test_a_user_is_known_by_the_password(file: Path) -> None:
    """Whatever prefix the tool writes; comments and empty lines are left out."""
    file.write_text(f"# people\n\nalice:{_hash(b'one').replace('$2b', '$2y')}\nbob:{_hash(b'two')}\n")
    users = load_users(file)
    assert users.names == {"alice", "bob"}
    assert users.check("alice", "one")
    assert users.check("bob", "two")
    for name, password in (("alice", "two"), ("alice", ""), ("carol", "one"), ("", ""), ("alice", "one\0")):
        assert not users.check(name, password)


def test_a_password_is_not_cut_off(file: Path) -> None:
    """bcrypt looks at 72 bytes: a longer one is none, though its beginning be right."""
    file.write_text(f"alice:{_hash(b'x' * 72)}\n")
    users = load_users(file)
    assert users.check("alice", "x" * 72)
    assert not users.check("alice", "x" * 73)


def test_an_unknown_user_costs_as_much_as_a_known_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All checks together take as long as one at the highest cost of the file, whoever it is."""
    file.write_text(f"alice:{_hash(b'one', 6)}\nbob:{_hash(b'two', 4)}\n")
    users = load_users(file)
    spent = 0
    real = bcrypt.checkpw

    def spy(password: bytes, known: bytes) -> bool:
        nonlocal spent
        spent += 2 ** int(known[4:6])
        return real(password, known)

    monkeypatch.setattr(bcrypt, "checkpw", spy)
    for name, password in (("alice", "x"), ("bob", "x"), ("bob", "two"), ("nobody", "x"), ("no", "x" * 500)):
        spent = 0
        users.check(name, password)
        assert spent == 2**6, name


def test_nobody_has_the_password_of_nobody(file: Path) -> None:
    """A file without users lets nobody in."""
    file.write_text("")
    assert not load_users(file).check("nobody", "nobody's")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice:$apr1$x$9d2gQ7n1eR0eNqJ8p1", "holds no bcrypt hash for alice"),
        ("alice:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "holds no bcrypt hash for alice"),
        ("alice:secret", "holds no bcrypt hash for alice"),
        ("alice", "holds no bcrypt hash for alice"),
        (":$2y$05$" + "." * 53, "begins with no user name"),
        ("al ice:$2y$05$" + "." * 53, "begins with no user name"),
        ("a" * 65 + ":$2y$05$" + "." * 53, "begins with no user name"),
        ("alice:$2y$31$" + "." * 53, "has a cost of 31"),
        ("alice:$2y$03$" + "." * 53, "has a cost of 03"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(file: Path, line: str, said: str) -> None:
    """With what to do; never with what stands behind the colon."""
    file.write_text(f"# first\n{line}\n")
    (problem,) = _problems(file)
    assert f"line 2 {said}" in problem
    assert "htpasswd -B" in problem
    assert line.partition(":")[2] not in problem or ":" not in line


def test_all_lines_that_cannot_be_used_are_named_at_once(file: Path) -> None:
    """A name that is given twice too."""
    good = f"alice:{_hash(b'x')}"
    file.write_text(f"{good}\n{good}\nbob:x\n")
    assert [problem.split(" ", 1)[1][:6] for problem in _problems(file)] == ["line 2", "line 3"]


def test_a_robot_is_known_by_its_secret(file: Path) -> None:
    """Of which the file holds no more than a hash; the file is its owner's alone."""
    robot, secret = new_robot("ci", ["r.example.org/team/"], ["pull", "push"], NOW, NOW + timedelta(days=1))
    other, others = new_robot("other", ["*"], ["pull"], NOW, None)
    store_robots(file, [robot, other])
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    robots = load_robots(file)
    assert robots.check("ci", secret, NOW) == robot
    assert robots.check("ci", others, NOW) == "not the robot's secret"
    assert robots.check("nobody", secret, NOW) == "no such robot"
    assert robots.check("ci", secret, NOW + timedelta(days=1)) == "the robot has expired"
    assert robots.check("other", others, NOW + timedelta(days=9999)) == other
    assert isinstance(robots.check("ci", secret, NOW), Robot)


def test_no_file_is_no_robots(file: Path) -> None:
    """It is made with the first of them."""
    assert load_robots(file).by_name == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"robots": [{"name": "ci"}]}',
        '{"robots": [], "more": 1}',
        '{"robots": ' + "[" * 5000,
    ],
)
def test_a_broken_file_of_robots_is_refused(file: Path, text: str) -> None:
    """Never taken for an empty one."""
    file.write_text(text)
    with pytest.raises(FileProblem, match="no file of robots"):
        load_robots(file)


@pytest.mark.parametrize("change", [{"twice": True}, {"expires": "2026-11-25T00:00:00"}])
def test_a_file_of_robots_that_nobody_can_mean(file: Path, change: dict[str, object]) -> None:
    """A name given twice, a time without a zone."""
    robot, _ = new_robot("ci", ["*"], ["pull"], NOW, NOW)
    store_robots(file, [robot])
    document = json.loads(file.read_text())
    if change.pop("twice", False):
        document["robots"] *= 2
    document["robots"][0] |= change
    file.write_text(json.dumps(document))
    with pytest.raises(FileProblem):
        load_robots(file)


def test_a_changed_file_counts_at_once_and_a_broken_one_not(file: Path) -> None:
    """The old content stays in force until the file is good again."""
    file.write_text(f"alice:{_hash(b'x')}\n")
    watched = Watched(file, load_users)
    first = watched.current()
    assert watched.current() is first
    file.write_text("alice:broken\n")
    assert watched.current() is first
    assert watched.current().names == {"alice"}
    file.unlink()
    assert watched.current() is first
    file.write_text(f"bob:{_hash(b'x')}\n")
    assert watched.current().names == {"bob"}


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes updates a volume."""
    for name in ("alice", "bob"):
        (tmp_path / name).write_text(f"{name}:{_hash(b'x')}\n")
    link = tmp_path / "users"
    link.symlink_to("alice")
    watched = Watched(link, load_users)
    (tmp_path / "new").symlink_to("bob")
    (tmp_path / "new").replace(link)
    assert watched.current().names == {"bob"}


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """The folder is as it was, and the error names the file."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileProblem, match="taken: cannot be written"):
        write_whole(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
