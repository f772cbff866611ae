"""Exports a verdict as a table, as a figure for print, or as a page that needs no program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from explorer.recordings.export.table_files import WRITERS
from explorer.recordings.export.tidy_table import ColumnKind, ExportTable, TableColumn, Value
from explorer.words.token_text import flowing
from explorer.words.verdicts import needed_about, row_sentence
from probes.schema.as_json import json_to_print
from probes.schema.errors import BadInput, Failure
from probes.schema.flat_step import to_jsonable
from probes.schema.verdict import Interval, SpaceLoss, TaskVerdict, Verdict
from probes.system.files import replacing
from probes.system.user_folders import expanded

FIGURES = ("svg", "png", "pdf")
VERDICT_FORMATS = (*WRITERS, "json", *FIGURES, "html")
_NEEDED = {"parquet": ("polars", "tables"), **dict.fromkeys(FIGURES, ("matplotlib", "figures"))}
"""The package that a format needs, and the extra that installs it."""


def check_verdict_export(to: str) -> Path:
    """The file that a verdict is exported to. Raises what `check_export_file` raises."""
    return check_export_file(to, VERDICT_FORMATS)


def check_export_file(to: str, formats: Sequence[str]) -> Path:
    """The file to export to. Raises `BadInput` before anything is measured, if that can't be written: an unknown
    format, a folder that is not there, a package that is missing."""
    path = expanded(to)
    form = path.suffix.removeprefix(".").lower()
    if form not in formats:
        known = ", ".join(f".{one}" for one in formats)
        raise BadInput("Export", f"{flowing(to)} has no ending of a format.", f"End its name with one of: {known}.")
    if path.is_dir():
        raise BadInput("Export", f"{flowing(to)} is a folder.", "Name a file.")
    if not path.parent.is_dir():
        raise BadInput("Export", f"There is no folder {flowing(str(path.parent))}.", "Make it, or name another one.")
    if not os.access(path.parent, os.W_OK):
        raise BadInput("Export", f"{flowing(str(path.parent))} can't be written to.", "Name another folder.")
    package, extra = _NEEDED.get(form, ("", ""))
    if package and find_spec(package) is None:
        raise BadInput("Export", f"A .{form} file needs {package}.", f'Install it: pip install "phier[{extra}]".')
    return path


def export_verdict(found: Verdict, path: Path, plain: Mapping[str, Any]) -> None:
    """Writes the verdict in the format that the file's name ends with, as a whole or not at all.

    `plain` is the object of `phier verdict --json`, which a .json file holds. Raises `Failure` if it can't be written.
    """
    form = path.suffix.removeprefix(".").lower()
    if form in WRITERS:
        content = WRITERS[form](verdict_rows(found))
    elif form == "json":
        content = json_to_print(to_jsonable(dict(plain))) + b"\n"
    elif form == "html":
        from explorer.recordings.export.verdict_page import verdict_page

        content = verdict_page(found)
    else:
        from explorer.recordings.export.verdict_figure import draw_verdict

        content = draw_verdict(found, form)
    write_export(path, content)


def write_export(path: Path, content: bytes) -> Path:
    """Writes a file as a whole or not at all, and returns it. Raises `Failure` if it can't be written."""
    try:
        with replacing(path) as part:
            part.write_bytes(content)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Failure(
            "Can't write", f"{flowing(str(path))} can't be written: {reason}.", "Name another file."
        ) from None
    return path


def verdict_rows(found: Verdict) -> ExportTable:
    """A row for each task with everything of it; further figures have columns of their own."""
    rows = [_row(found, row) for row in found.rows]
    kinds: dict[str, ColumnKind] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, kind_of_value(value))
            if value is not None:
                kinds[name] = kind_of_value(value)
    columns = [TableColumn(name, kind, [row.get(name) for row in rows]) for name, kind in kinds.items()]
    return ExportTable("verdict", columns)


def kind_of_value(value: Value) -> ColumnKind:
    """The type of the column that holds this value; of None, that of numbers."""
    if isinstance(value, bool):
        return ColumnKind.TRUTH
    if isinstance(value, int):
        return ColumnKind.WHOLE
    return ColumnKind.TEXT if isinstance(value, str) else ColumnKind.NUMBER


def _row(found: Verdict, row: TaskVerdict) -> dict[str, Value]:
    models: dict[str, Value] = {"dense_model": found.dense, "pruned_model": found.pruned, "setting": found.setting}
    return models | row_values(row, found.margin, found.level)


def row_values(row: TaskVerdict, margin: float, level: float) -> dict[str, Value]:
    """Everything of one task, by the names of columns."""
    made: dict[str, Value] = {"task": row.task, "kind": str(row.kind), "figure": row.figure}
    made |= {"items": row.items, "of": row.of}
    made["chance"] = float(row.chance)
    made |= _interval("dense", row.dense) | _interval("pruned", row.pruned) | _interval("difference", row.difference)
    made |= {"mcnemar": row.mcnemar, "lost": row.lost, "gained": row.gained, "agreement": float(row.agreement)}
    made |= {"margin": float(margin), "level": float(level), "outcome": str(row.outcome)}
    needed = needed_about(row.items_needed) if row.items_needed is not None else None
    made |= {"items_needed": needed, "sentence": row_sentence(row, margin, level)}
    for field in fields(SpaceLoss):
        made[f"spaces.{field.name}"] = getattr(row.spaces, field.name, None)
    for one in row.more:
        made[f"{one.name}.dense" if not one.of_both else one.name] = one.dense
        if not one.of_both:
            made[f"{one.name}.pruned"] = one.pruned
            if one.difference is not None:
                made |= _interval(f"{one.name}.difference", one.difference)
    return made


def _interval(name: str, of: Interval) -> dict[str, Value]:
    return {name: float(of.value), f"{name}.low": float(of.low), f"{name}.high": float(of.high)}
