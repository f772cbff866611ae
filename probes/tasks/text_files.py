"""Reads the texts of files and folders piece by piece, so that memory does not grow with them. Free of torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.models.spec_check import nearby
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.system.fence import inside
from probes.system.user_folders import expanded

PIECE = 1 << 20
"""The most characters that are read, and tokenised, at once."""
_LINES = (".jsonl", ".ndjson")
_TEXTS = (".txt", ".md", ".rst", ".text", *_LINES)
"""The files of a folder that are read."""
_FIELDS = ("text", "prompt", "question", "content")
"""The fields of a JSON Lines object that may hold its text; the first one counts."""
_HINT = "Name UTF-8 text files, JSON Lines files with a field “text”, or folders of them."


@dataclass(frozen=True, slots=True)
class FileText:
    """One text: a whole file, the object in one line of a JSON Lines file, or one of a set of prompts (its path is the
    set's name)."""

    path: Path
    line: int
    """From 1; 0 if the text is the whole file."""
    pieces: Iterator[str]
    """The text in pieces that end after a line break where possible. Read before the next text is asked for."""
    item: str = ""
    """The id of the item or document of a set; "" for a file."""

    @property
    def name(self) -> str:
        """The file's name, with the line of a JSON Lines file."""
        return f"{self.path.name}:{self.line}" if self.line else self.path.name


def text_files(names: Sequence[str]) -> tuple[Path, ...]:
    """The files that these names of files and folders stand for, those of a folder sorted.

    Raises `BadInput` if there is no such file or folder, or nothing to read in it.
    """
    if not names:
        raise BadInput("No text", "No file with a text was named.", _HINT)
    found: list[Path] = []
    for name in names:
        path = expanded(name)
        if os.path.isdir(path):
            found += _in_folder(path, name)
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise BadInput("No such text", f"There is no file {visible(name, 300)}.", f"{nearby(path)}{_HINT}")
    return tuple(dict.fromkeys(found))


def check_texts(names: Sequence[str]) -> None:
    """Raises `BadInput` for a file or folder that does not exist, can't be opened or begins as no text does."""
    for path in text_files(names):
        next(_decoded(path), None)


def read_files(paths: Sequence[Path]) -> Iterator[FileText]:
    """The texts of the files, one after another. Raises `BadInput` for a file that is empty or no UTF-8 text."""
    for path in paths:
        yield from _lines(path) if path.suffix.lower() in _LINES else [FileText(path, 0, _pieces(path))]


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256, hex, over the bytes of the files in their order. Raises `BadInput` if one can't be read."""
    whole = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as problem:
            raise _unreadable(path, problem) from problem
    return whole.hexdigest()


def _in_folder(folder: Path, name: str) -> list[Path]:
    def refuse(problem: OSError) -> None:
        raise _unreadable(folder, problem) from problem

    found = [
        inside(Path(place) / file)
        for place, _, files in os.walk(folder, onerror=refuse)
        for file in files
        if os.path.splitext(file)[1].lower() in _TEXTS and not file.startswith(".")
    ]
    if not found:
        endings = ", ".join(_TEXTS)
        raise BadInput("No text", f"{visible(name, 300)} has no file that ends in {endings}.", _HINT)
    return sorted(found)


def _pieces(path: Path) -> Iterator[str]:
    held, blank = "", True
    for more in _decoded(path):
        held += more
        blank = blank and not more.strip()
        cut = held.rfind("\n") + 1
        if len(held) >= PIECE:
            cut = cut or len(held)
            yield held[:cut]
            held = held[cut:]
    if blank:
        raise BadInput("Empty text", f"{visible(path.name, 200)} has no text.", _HINT)
    if held:
        yield held


def _lines(path: Path) -> Iterator[FileText]:
    number, held, found = 0, "", False
    for more in (*_decoded(path), None):
        *lines, held = (held + more).split("\n") if more is not None else [held, ""]
        for line in lines:
            number += 1
            if line.strip():
                found = True
                yield FileText(path, number, iter([_text_of(line, path, number)]))
    if not found:
        raise BadInput("Empty text", f"{visible(path.name, 200)} has no text.", _HINT)


def _text_of(line: str, path: Path, number: int) -> str:
    where = f"Line {number:,} of {visible(path.name, 200)}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadInput("Not JSON Lines", f"{where} is not JSON.", _HINT) from None
    texts = [row[name] for name in _FIELDS if name in row] if isinstance(row, dict) else [row]
    if not texts or not isinstance(texts[0], str) or not texts[0].strip():
        raise BadInput("No text", f"{where} has no text in a field {', '.join(_FIELDS)}.", _HINT)
    return texts[0]


def _decoded(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while more := file.read(PIECE):
                yield more
    except UnicodeDecodeError as problem:
        raise BadInput(
            "Not UTF-8",
            f"{visible(path.name, 200)} is not UTF-8 text (byte {problem.object[problem.start]:#04x}).",
            "Convert it to UTF-8.",
        ) from problem
    except OSError as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: OSError) -> BadInput:
    return BadInput("Text", f"{visible(str(path), 300)} can't be read ({problem.strerror}).", _HINT)
