"""docs/ builds as a site without a warning: no link, anchor or page is missing, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
_LINK = re.compile(r"\]\((?P<file>[^)#:\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class _Page(HTMLParser):
    """What a page defines and what a browser loads for it."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if (where := _FETCHED.get(tag)) is not None:
            self.loads.append(given.get(where, ""))


def _parsed(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    """The menu is made of the folders, so a page can be left out by nobody."""
    menu = (site / "index.html").read_text()
    for page in (PROJECT / "docs").rglob("*.md"):
        name = page.relative_to(PROJECT / "docs").with_suffix("").as_posix()
        if name not in {"index", "adr/0000-template"}:
            assert f'href="{name}/"' in menu, f"{page} is not in the menu"


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    """The site works without a network."""
    for page in site.rglob("*.html"):
        assert not [one for one in _parsed(page).loads if one.startswith(("http:", "https:", "//"))], page


def test_the_links_of_the_readme(site: Path) -> None:
    """Also their anchors, as they are in the site."""
    found = list(_LINK.finditer((PROJECT / "README.md").read_text()))
    assert len(found) > 10
    for link in found:
        assert (PROJECT / link["file"]).exists(), link[0]
        if link["anchor"] and link["file"].startswith("docs/"):
            page = site / Path(link["file"]).relative_to("docs").with_suffix("") / "index.html"
            assert link["anchor"] in _parsed(page).anchors, link[0]


@pytest.mark.parametrize("page", sorted((PROJECT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    """Who reads that something is held by a test must be able to find it."""
    for file, function in re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", page.read_text()):
        assert (PROJECT / file).exists(), file
        assert not function or f"def {function}(" in (PROJECT / file).read_text(), f"{file}::{function}"
