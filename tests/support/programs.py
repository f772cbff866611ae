"""The programs that some tests need. Without one, a test is skipped and named in the summary; in CI it fails."""

from __future__ import annotations

import os
import shutil

import pytest

NEEDS = {"terminal": "tmux", "browser": "chromium"}
"""The program that tests with this mark need."""

_NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
SKIPPED = "NOT TESTED: "
"""How the reason of every loud skip begins; the end of a test run lists them."""


def find(program: str) -> str | None:
    """The path of a program, under any of its names."""
    return next(filter(None, map(shutil.which, _NAMES.get(program, (program,)))), None)


def require(program: str) -> None:
    """Skips the test if the program is missing; fails it in CI, where nothing may go untested."""
    if find(program) is None:
        missing(f"{program} is not installed; `make setup` installs it")


def missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(SKIPPED + what)
