"""Reads calibration text from a text file, JSON, JSON Lines, or a data set of the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from probes.models.hub_rows import dataset_rows, may_be_dataset
from probes.models.spec_check import nearby
from probes.schema.errors import BadInput
from probes.system.progress import Work
from probes.system.user_folders import expanded

FIELD = "text"
"""The field of a JSON object or of a data set's row that holds the text."""
_JSON_NAMES = (".json", ".jsonl", ".ndjson")
"""Endings of files that must be JSON. Other files are read as JSON only if they are valid JSON."""
_HINT = "Name a text file, a JSON or JSON Lines file, or a data set as owner/name or owner/name:configuration."


def read_texts(source: str, work: Work) -> Iterator[str]:
    """The texts of a source, one after another, read as they are needed.

    A JSON Lines file holds one object a line, with its text in the field "text". A JSON file holds one such object, or
    a list of them or of texts. The content decides, not the file's name; any other file is one text. A source that is
    not a file is the id of a data set on the hub; its "train" split is read with the package `datasets`. Raises
    `BadInput` if there is no such source, and `Failure` if it can't be downloaded.
    """
    path = check_source(source)
    return _read_dataset(source, work) if path is None else _read_file(path, work)


def check_source(source: str) -> Path | None:
    """The file that holds the texts; None if the source may be a data set. Raises `BadInput` if it is neither."""
    path = expanded(source)
    if os.path.isdir(path):
        raise BadInput("Calibration text", f"{source} is a folder.", _HINT)
    if os.path.exists(path):
        return path
    named_as_file = path.suffix and ":" not in source  # a configuration may have a dot: wikimedia/wikipedia:20231101.en
    if named_as_file or not may_be_dataset(source):
        raise BadInput("Calibration text", f"There is no file {source}.", f"{nearby(path)}{_HINT}")
    return None


def _read_file(path: Path, work: Work) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            begun = list(_to_first_words(file))
            if begun and isinstance(_parsed(begun[-1]), dict):
                yield from _read_lines(path, chain(begun, file), work)
                return
            text = "".join(begun) + file.read()
    except UnicodeDecodeError as problem:
        raise BadInput("Calibration text", f"{path} is not UTF-8 text (byte {problem.start}).", _HINT) from problem
    except OSError as problem:
        raise BadInput("Calibration text", f"{path} can't be read ({problem.strerror}).", _HINT) from problem
    whole = _parsed(text) if text.lstrip()[:1] in ("{", "[") else None
    if isinstance(whole, dict | list):
        yield from _entries(whole, path.name)
    elif path.suffix.lower() in _JSON_NAMES and text.strip():
        raise BadInput(
            "Calibration text", f"{path.name} is not JSON or JSON Lines: it does not begin with an object.", _HINT
        )
    else:
        yield text


def _parsed(text: str) -> object:
    """The text parsed as JSON; None if it is something else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _to_first_words(lines: Iterable[str]) -> Iterator[str]:
    """The lines up to the first one that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def _read_lines(path: Path, lines: Iterable[str], work: Work) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        work.check(f"Reading {path.name}")
        if line.strip():
            row = _parsed(line)
            if row is None:
                raise BadInput("Calibration text", f"Line {number} of {path.name} is not JSON.", _HINT)
            yield _field(row, f"Line {number} of {path.name}")


def _entries(whole: dict[str, object] | list[object], name: str) -> Iterator[str]:
    for number, entry in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield entry if isinstance(entry, str) else _field(entry, f"Entry {number} of {name}")


def _read_dataset(source: str, work: Work) -> Iterator[str]:
    for row in dataset_rows(source, work, title="Calibration text"):
        yield _field(row, f"A row of {source}")


def _field(row: object, where: str) -> str:
    text = row.get(FIELD) if isinstance(row, Mapping) else None
    if not isinstance(text, str):
        raise BadInput("Calibration text", f"{where} has no field {FIELD!r} with a text.", _HINT)
    return text
