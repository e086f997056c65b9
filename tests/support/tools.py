"""Programs from outside that tests drive."""

from __future__ import annotations

import os
import shutil

import pytest

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
"""PATH with the folders for daemons, which Debian leaves out for plain users."""


def program(name: str, package: str) -> str:
    """The path of `name`. Skips the test if it is not installed (with CI=true that is a failure)."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found
