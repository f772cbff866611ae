"""Reads the rows of a file of items: JSON Lines, a JSON list, or CSV, each also compressed by gzip. Free of torch."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

TITLE = "Items"
HINT = "docs/items.md lists the columns of each kind of item."
TABLES = (".csv", ".tsv")
_SHOWN = 200
_OTHER = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_CELL = 1 << 24
"""Characters of the longest cell of a CSV file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, or why it is none."""

    line: int
    """From 1; of a JSON list, the entry. A CSV row of several lines counts as its last one."""
    cells: Mapping[str, object]
    problem: str = ""
    """"it is not JSON"; "" if the row was read."""


class BadRow(Exception):
    """A row can't be used; the message is the end of a sentence: "it has no answer"."""


def file_rows(path: Path) -> list[Row]:
    """The rows of the file; blank lines are left out.

    Raises `BadInput` if it can't be read, is not UTF-8, or is neither JSON Lines, a JSON list nor CSV.
    """
    text = _text(path)
    if not text.strip():
        raise BadInput(TITLE, f"{_name(path)} is empty.", HINT)
    if _ending(path) in TABLES:
        return list(_csv_rows(path, text))
    first = text.lstrip()[0]
    if first == "[":
        return _listed(path, text)
    if first != "{":
        raise BadInput(TITLE, f"{_name(path)} begins neither with a JSON object nor with a list, and is no .csv.", HINT)
    return [_json_row(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _ending(path: Path) -> str:
    """The ending that names the format: ".csv" of items.csv.gz."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _text(path: Path) -> str:
    try:
        held = path.read_bytes()
        held = gzip.decompress(held) if path.suffix.lower() == ".gz" else held
    except (OSError, EOFError, zlib.error) as problem:
        why = getattr(problem, "strerror", None) or visible(str(problem), _SHOWN)
        raise BadInput(TITLE, f"{_name(path)} can't be read ({why}).", HINT) from problem
    if held.startswith(_OTHER) or b"\0" in held[:1000]:
        raise BadInput(TITLE, f"{_name(path)} is UTF-16 or binary, not UTF-8 text.", "Save it as UTF-8.")
    try:
        return held.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = held[: problem.start].count(b"\n") + 1
        byte = held[problem.start]
        raise BadInput(
            TITLE,
            f"{_name(path)} is not UTF-8 text: line {line:,} has the byte {byte:#04x}. It may be Latin-1.",
            "Save it as UTF-8.",
        ) from problem


def _listed(path: Path, text: str) -> list[Row]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise BadInput(TITLE, f"{_name(path)} is not JSON ({visible(str(problem), _SHOWN)}).", HINT) from problem
    return [_as_row(number, entry) for number, entry in enumerate(entries, 1)]


def _json_row(number: int, line: str) -> Row:
    try:
        return _as_row(number, json.loads(line))
    except (ValueError, RecursionError):
        return Row(number, {}, "it is not JSON")


def _as_row(number: int, entry: object) -> Row:
    return Row(number, entry) if isinstance(entry, dict) else Row(number, {}, "it is not an object")


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    allowed = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        columns = [name.strip() for name in next((row for row in reader if row), [])]
        if len(set(columns)) != len(columns):
            raise BadInput(TITLE, f"{_name(path)} has two columns of one name.", HINT)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_row(reader.line_num, columns, cells)
    except csv.Error as problem:
        message = f"Line {reader.line_num:,} of {_name(path)} is not CSV ({visible(str(problem), _SHOWN)})."
        raise BadInput(TITLE, message, HINT) from problem
    finally:
        csv.field_size_limit(allowed)


def _csv_row(line: int, columns: list[str], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        return Row(line, {}, f"it has {len(cells)} cells for {len(columns)} columns")
    try:
        return Row(line, {name: _cell(cell) for name, cell in zip(columns, cells, strict=True) if cell.strip()})
    except ValueError:
        return Row(line, {}, "a list in it is not JSON")


def _cell(cell: str) -> object:
    """A cell; a list is written as JSON."""
    stripped = cell.strip()
    if stripped.startswith('["') or stripped.startswith('{"'):
        return json.loads(stripped)
    return cell


def _name(path: Path) -> str:
    return visible(path.name, _SHOWN)
