"""The site is built without a warning, and a page that is read fetches nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.documents import ROOT

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
PAGES = (
    "index.html",
    "tutorial.html",
    "screens/why.html",
    "reference/python.html",
    "changelog.html",
    "recordings.html",
)


class Loaded(HTMLParser):
    """Collects what a browser would load with a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "link" and named.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(named.get("href") or "")
        elif tag in LOADING:
            self.found.append(named.get(LOADING[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        missing = 'mkdocs is not installed; `pip install -e ".[docs]"` installs it'
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"NOT TESTED: {missing}")
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place


def test_the_pages_are_there_and_load_only_what_is_beside_them(site: Path) -> None:
    assert all((site / name).is_file() for name in PAGES)
    for page in site.rglob("*.html"):
        for target in Loaded(page).found:
            assert not re.match(r"(https?:)?//", target), f"{page.name} loads {target}"
        assert 'class="mermaid"' not in page.read_text("utf-8")  # its program would be fetched
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text("utf-8")), style.name


def test_keys_commands_and_docstrings_are_on_the_pages(site: Path) -> None:
    why, commands, python = (
        (site / name).read_text("utf-8")
        for name in ("screens/why.html", "reference/commands.html", "reference/python.html")
    )
    assert "<!-- keys of" not in why
    assert "Marks" in why or "marks" in why
    assert all(f"phier {name}" in commands for name in ("run", "verdict", "sweep"))
    assert "load_pair" in python
    assert "survival" in python


def test_the_search_finds_a_word_without_a_server_elsewhere(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text("utf-8")
    assert "half-life" in index
