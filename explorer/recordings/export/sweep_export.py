"""Exports a sweep as a tidy table, or as figures for print: one for each family of settings."""

from __future__ import annotations

from pathlib import Path

from explorer.recordings.export.table_files import WRITERS
from explorer.recordings.export.tidy_table import ColumnKind, ExportTable, TableColumn, Value
from explorer.recordings.export.verdict_export import FIGURES, check_export_file, row_values, write_export
from explorer.recordings.export.verdict_export import kind_of_value as kind_of
from explorer.words.summary_figures import SUMMARY_FIGURES
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.sweep import CellResult, Curve, Sweep
from probes.sweep.curves import curves, results_by_key

SWEEP_FORMATS = (*WRITERS, *FIGURES)


def check_sweep_export(to: str) -> Path:
    """The file that a sweep is exported to. Raises `BadInput` before anything is measured, if that can't be written."""
    return check_export_file(to, SWEEP_FORMATS)


def export_sweep(sweep: Sweep, path: Path) -> tuple[Path, ...]:
    """Writes the sweep in the format that the file's name ends with, each file as a whole or not at all.

    A figure shows one family; if there are several, each has a file whose name ends with the family's: `x-wanda.svg`.
    Raises `BadInput` if no cell has a figure, and `Failure` if a file can't be written.
    """
    form = path.suffix.removeprefix(".").lower()
    if not any(one.error is None for one in sweep.results):
        raise BadInput("Export", "No cell of the sweep has figures yet.", "Compute it first.")
    if form in WRITERS:
        return (write_export(path, WRITERS[form](sweep_rows(sweep))),)
    from explorer.recordings.export.sweep_figure import draw_sweep

    by_family: dict[str, list[Curve]] = {}
    for curve in curves(sweep):
        by_family.setdefault(curve.family, []).append(curve)
    drawn = {
        family: of for family, of in by_family.items() if any(point.value is not None for c in of for point in c.points)
    }
    places = dict.fromkeys(drawn, path)
    if len(drawn) > 1:
        names: dict[str, str] = {}
        for family in drawn:
            name = "".join(c if c.isalnum() or c in "-_" else "-" for c in family.replace(":{}", "")).strip("-")
            names[family] = name if name not in names.values() else f"{name}-{len(names) + 1}"
        places = {family: path.with_name(f"{path.stem}-{name}{path.suffix}") for family, name in names.items()}
    return tuple(write_export(places[family], draw_sweep(sweep, of, form)) for family, of in drawn.items())


def sweep_rows(sweep: Sweep) -> ExportTable:
    """A row for each cell, in the order of the plan: everything of its verdict or of its prompt's run, or its error."""
    found = results_by_key(sweep)
    cells = {str(cell.key): cell for cell in sweep.header.cells}
    knees = {(curve.family, curve.task): curve.at_knee.setting for curve in curves(sweep) if curve.at_knee is not None}
    rows: list[dict[str, Value]] = []
    for key, cell in cells.items():
        made: dict[str, Value] = {"dense_model": sweep.header.dense, "setting": cell.setting, "family": cell.family}
        made |= {"amount": cell.amount, "task": cell.task, "seed": cell.seed}
        result = found.get(key)
        made["state"] = "waiting" if result is None else "done" if result.error is None else "failed"
        if result is not None:
            made |= _of_result(result, sweep)
            made["knee"] = knees.get((cell.family, cell.task)) == cell.setting if result.row is not None else None
        rows.append(made)
    kinds: dict[str, ColumnKind] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None or name not in kinds:
                kinds[name] = kind_of(value)
    for name in ("amount", "seed"):
        kinds[name] = ColumnKind.NUMBER if name == "amount" else ColumnKind.WHOLE
    return ExportTable(
        "sweep", [TableColumn(name, kind, [row.get(name) for row in rows]) for name, kind in kinds.items()]
    )


def _of_result(result: CellResult, sweep: Sweep) -> dict[str, Value]:
    made: dict[str, Value] = {}
    if result.removed is not None:
        of = result.removed
        made |= {"removed": of.share, "zeroed": of.zeroed, "dropped": of.dropped, "parts": ", ".join(of.parts)}
    if result.row is not None:
        row = row_values(result.row, sweep.header.margin, sweep.header.level)
        made |= {name: value for name, value in row.items() if name != "task"}
    if result.run is not None:
        made |= {f"run.{key}": figure.of(result.run) for key, figure in SUMMARY_FIGURES.items()}
    if result.error is not None:
        made["error"] = f"{result.error.title}: {result.error.message}"
    made |= {
        "seconds": float(result.seconds),
        "pruning_seconds": float(result.pruning_seconds),
        "worker": result.worker,
    }
    return made | {"peak_bytes": result.peak_bytes, "mask": result.mask, "notes": " ".join(result.notes)}


def written_sentence(files: tuple[Path, ...]) -> str:
    """Where the export is."""
    return f"Exported to {', '.join(flowing(str(file)) for file in files)}."
