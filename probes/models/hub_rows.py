"""Reads the rows of a data set of the hub, one after another, with the package `datasets`. Free of torch."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from probes.schema.errors import BadInput, Failure
from probes.system.progress import Work

_DATASET = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def may_be_dataset(source: str) -> bool:
    """Can this be a data set's id, owner/name or owner/name:configuration?"""
    return source.count("/") == 1 and _DATASET.fullmatch(source) is not None


def dataset_rows(
    source: str,
    work: Work,
    *,
    title: str,
    splits: Sequence[str] = ("train",),
    classes: dict[str, tuple[str, ...]] | None = None,
) -> Iterator[object]:
    """The rows of the first of these splits that the data set has, read as they are needed.

    A class label stays a number; `classes` gets the names of each column of them before the first row comes. Raises
    `BadInput` if the package is missing, and `Failure` if the data set can't be downloaded; `title` is theirs.
    """
    name, _, configuration = source.partition(":")
    try:
        load_dataset = importlib.import_module("datasets").load_dataset
    except ModuleNotFoundError as problem:
        raise BadInput(
            title,
            f"There is no file {source}. If it is a data set, reading it needs the package `datasets`.",
            "Install it with `pip install datasets`, or name a file.",
        ) from problem
    work.report(f"Downloading {source}")
    for split in splits:
        begun = False
        try:
            with _quiet():
                rows = load_dataset(name, configuration or None, split=split, streaming=True)
                if classes is not None:
                    classes.update(_classes(rows))
                for row in rows:
                    work.check(f"Reading {source}")
                    begun = True
                    yield row
            return
        except (OSError, ValueError, RuntimeError) as problem:
            if isinstance(problem, ValueError) and not begun and split != splits[-1]:
                continue  # the data set has no such split
            said = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
            hint = "Check the name and the network, or name a file."
            raise Failure(title, f"{source} could not be downloaded: {said}.", hint) from problem


def _classes(rows: object) -> dict[str, tuple[str, ...]]:
    """The names of the labels of each column that has them."""
    features = getattr(rows, "features", None) or {}
    return {column: tuple(found.names) for column, found in features.items() if getattr(found, "names", None)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the hub's attempts off the terminal; the last one's error is told."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
