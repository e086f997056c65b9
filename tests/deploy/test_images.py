"""The Dockerfile: what would make its images larger, less safe, or different from one build to the next."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
DOCKERFILE = (IMAGES / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = {
    block.split()[block.split().index("AS") + 1]: block
    for block in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
}
"""The instructions of each stage, by its name."""


def instructions(stage: str, kind: str) -> list[str]:
    """What stands after each instruction of that kind."""
    return re.findall(rf"^{kind} +(.+)$", STAGES[stage], re.MULTILINE)


@pytest.mark.parametrize("target", ["server", "signer"])
def test_an_image_begins_with_nothing_and_gets_one_folder(target: str) -> None:
    """No shell, no package manager: neither is copied, and no instruction needs one."""
    assert STAGES["base"].startswith("scratch ")
    assert STAGES[target].startswith("base ")
    assert instructions(target, "COPY") == [f"--from=build /rootfs/{target} /"]
    for stage in ("base", target):
        assert instructions(stage, "RUN") == []
    (entry,), (command,) = instructions(target, "ENTRYPOINT"), instructions(target, "CMD")
    assert json.loads(entry) == [f"notary-{target}"]
    assert json.loads(command)[0] == "serve"


def test_an_image_runs_as_nobody_and_says_how_it_is() -> None:
    """A user that Kubernetes can tell is not root; a health check without a shell."""
    assert instructions("base", "USER") == ["10001:10001"]
    (check,) = re.findall(r"CMD (\[.+\])", STAGES["base"])
    assert json.loads(check)[0] == "python"


def test_nothing_is_downloaded_that_is_not_pinned() -> None:
    """pip takes what has a hash, and builds nothing but the project itself."""
    assert not re.search(r"^ADD |curl|wget|latest", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"pip\S*(?: --python \S+)? install ([^&]+)", DOCKERFILE)
    assert len(installs) == 3
    for words in installs:
        pinned = "--require-hashes" in words and "--only-binary :all:" in words
        assert pinned or ("--no-deps" in words and "--no-build-isolation" in words)
    for lock in (ROOT / "requirements.lock", IMAGES / "spiffe.lock", IMAGES / "sbom.lock"):
        text = lock.read_text()
        assert "://" not in text
        for requirement in re.split(r"\n(?=\S)", text.strip()):
            assert "==" in requirement, requirement[:80]
            assert "--hash=sha256:" in requirement, requirement[:80]


def test_the_image_for_spiffe_has_the_same_packages_and_those_that_it_needs() -> None:
    """Otherwise one of two images would be looked at and the other not."""
    usual, spiffe = (
        set(re.findall(r"^(\S+==\S+)", path.read_text(), re.MULTILINE))
        for path in (ROOT / "requirements.lock", IMAGES / "spiffe.lock")
    )
    assert usual < spiffe
    assert {one.partition("==")[0] for one in spiffe - usual} >= {"grpcio", "spiffe"}


def test_all_packages_of_the_project_are_copied_and_nothing_else() -> None:
    """The build sees what .dockerignore lets through."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        project["package-dir"].get(name, name) for name in (one.split(".")[0] for one in project["packages"])
    }
    copied = {words.split()[0] for words in instructions("build", "COPY")}
    assert folders <= copied
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert folders <= {line[1:] for line in lines if line.startswith("!")}


def test_the_script_that_lays_out_the_files_is_sound() -> None:
    """It ends at the first error; the shell can read it."""
    script = IMAGES / "rootfs"
    assert "\nset -eu\n" in script.read_text()
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)
