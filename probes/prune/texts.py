"""Where calibration text is read from: a text file, JSON Lines, or a data set of the hub."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from probes.errors import BadInput, Failure
from probes.loading.spec import expanded, nearby
from probes.loading.work import Work

FIELD = "text"
"""The field of a JSON Lines file or data set that holds the text."""
_DATASET = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
_HINT = "Name a text file, a .jsonl file, or a data set as owner/name or owner/name:configuration."


def read_texts(source: str, work: Work) -> Iterator[str]:
    """The texts of a source, one after another, read as they are needed.

    A file that ends in .jsonl holds an object a line with its text in the field "text"; any other file is one text.
    What is no file is taken for a data set's id on the hub, read from its "train" split with the package `datasets`.
    Raises `BadInput` where there is no such source, and `Failure` where the hub does not give it.
    """
    path = check_source(source)
    if path is not None:
        return _read_lines(path, work) if path.suffix == ".jsonl" else iter([_read_text(path)])
    return _read_dataset(source, work)


def check_source(source: str) -> Path | None:
    """The file that holds the texts; None for what may be a data set. Raises `BadInput` if it is neither."""
    path = expanded(source)
    if os.path.isdir(path):
        raise BadInput("Calibration text", f"{source} is a folder.", _HINT)
    if os.path.exists(path):
        return path
    named_as_file = path.suffix and ":" not in source  # a configuration may have a dot: wikimedia/wikipedia:20231101.en
    if source.count("/") != 1 or named_as_file or not _DATASET.fullmatch(source):
        raise BadInput("Calibration text", f"There is no file {source}.", f"{nearby(path)}{_HINT}")
    return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as problem:
        raise BadInput("Calibration text", f"{path} is not UTF-8 text (byte {problem.start}).", _HINT) from problem
    except OSError as problem:
        raise BadInput("Calibration text", f"{path} can't be read ({problem.strerror}).", _HINT) from problem


def _read_lines(path: Path, work: Work) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                work.check(f"Reading {path.name}")
                if line.strip():
                    yield _field(json.loads(line), f"Line {number} of {path.name}")
    except json.JSONDecodeError as problem:
        raise BadInput(
            "Calibration text", f"Line {number} of {path.name} is not JSON: {problem.msg}.", _HINT
        ) from problem
    except ValueError as problem:
        raise BadInput("Calibration text", f"{path} is not JSON Lines in UTF-8: {problem}.", _HINT) from problem
    except OSError as problem:
        raise BadInput("Calibration text", f"{path} can't be read ({problem.strerror}).", _HINT) from problem


def _read_dataset(source: str, work: Work) -> Iterator[str]:
    name, _, configuration = source.partition(":")
    try:
        load_dataset = importlib.import_module("datasets").load_dataset
    except ModuleNotFoundError as problem:
        raise BadInput(
            "Calibration text",
            f"There is no file {source}, and reading a data set needs the package `datasets`.",
            "Install it with `pip install datasets`, or name a text file.",
        ) from problem
    work.tell(f"Fetching {source}")
    try:
        rows = load_dataset(name, configuration or None, split="train", streaming=True)
        for row in rows:
            work.check(f"Reading {source}")
            yield _field(row, f"A row of {source}")
    except (OSError, ValueError, RuntimeError) as problem:
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise Failure("Calibration text", f"{source} was not brought: {said}", _HINT) from problem


def _field(row: object, where: str) -> str:
    text = row.get(FIELD) if isinstance(row, Mapping) else None
    if not isinstance(text, str):
        raise BadInput("Calibration text", f"{where} has no field {FIELD!r} with a text.", _HINT)
    return text
