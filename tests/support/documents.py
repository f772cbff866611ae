"""The documents as tests read them: pages, fenced blocks, the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SHELL = ("", "sh", "bash", "console")
"""Languages of blocks with commands. In a block without one, lines that begin with another word are output."""
PROGRAMS = ("phier", "phier-tui", "make", "pip", "python", "torchrun", "dask")
OTHERS = ("cd", "git", "ssh", "tmux", "export", "openssl", "for", "done", "rm", "rsvg-convert", "asciinema")
"""Programs whose lines are not checked."""
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Line:
    """One command of a page."""

    page: str
    text: str
    words: tuple[str, ...]
    """The program's name and its arguments, without redirections and settings of the environment."""


@cache
def pages() -> tuple[Path, ...]:
    """Every document that a reader may follow."""
    beside = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "sessions/README.md")]
    return (*beside, *sorted(DOCS.rglob("*.md")))


def name_of_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    for indent, language, text in _FENCE.findall(page.read_text("utf-8")):
        yield language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def python_blocks(page: Path) -> list[str]:
    return [text for language, text in blocks(page) if language == "python"]


@cache
def command_lines() -> tuple[Line, ...]:
    """Every command in the documents."""
    found = []
    for page in pages():
        for language, text in blocks(page):
            if language not in SHELL:
                continue
            for line in text.replace("\\\n", " ").splitlines():
                words = command_words(line)
                if words and (words[0] in PROGRAMS or language):
                    found.append(Line(name_of_page(page), line.strip(), words))
    return tuple(found)


def command_words(line: str) -> tuple[str, ...]:
    """The first command of a line. A comment has two spaces before it, or begins the line."""
    line = re.sub(r"(^| )\s*# .*$", "", line).replace("$(which phier)", "phier").strip()
    try:
        words = shlex.split(re.split(r" (?:<|>|\||&&|&)(?: |$)", line)[0])
    except ValueError:  # a text with an apostrophe: output
        return ()
    while words and re.match(r"^[A-Z_]+=", words[0]):
        del words[0]
    return tuple(words)


def spans(page: Path) -> Iterator[str]:
    """The commands that are named in a sentence: `phier …` in backticks, also over a line's end."""
    prose = _FENCE.sub("", page.read_text("utf-8"))
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        if re.match(r"phier(-tui)? ", text):
            yield " ".join(text.split())
