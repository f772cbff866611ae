"""The output of `phier sweep`: the pruned scores of settings × tasks, and the knee of each curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.cli.verdict_table import STYLES
from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import OUTCOME_SIGNS, tenths
from probes.schema.summary import Summary, summary_value
from probes.schema.sweep import Cell, CellResult, Curve, Sweep
from probes.schema.verdict import Outcome
from probes.sweep.curves import curves, results_by_key

_LONGEST_NAME = 14
_LONGEST_SETTING = 40


def sweep_object(found: Sweep) -> dict[str, Any]:
    """For `--json`: the header, the result of each cell, and the curves with their knees."""
    by_key = results_by_key(found)
    there = [by_key[key] for cell in found.header.cells if (key := str(cell.key)) in by_key]
    return {
        "header": asdict(found.header),
        "cells": [asdict(one) for one in there],
        "curves": [asdict(one) for one in curves(found)],
    }


def print_sweep(found: Sweep, console: Console) -> None:
    """The table, a sentence on each curve's knee, and the cells that failed."""
    header = found.header
    _print(console, Text(flowing(header.dense), "bold blue"))
    rules = f"Pruned scores in % · margin {100 * header.margin:g} points · intervals of {100 * header.level:g} %"
    _print(console, Text(f"{rules} · of prompts, ΣKL in nats"))
    console.print()
    console.print(_scores(found))
    _print(console, Text(" · ".join(f"{sign} {outcome}" for outcome, sign in OUTCOME_SIGNS.items()), "dim"))
    if knees := [line for curve in curves(found) if (line := knee_sentence(curve))]:
        console.print()
        for line in knees:
            _print(console, Text(line))
    by_key = results_by_key(found)
    failed = [one for cell in header.cells if (one := by_key.get(str(cell.key))) is not None and one.error is not None]
    if failed:
        console.print()
    for one in failed:
        _print(console, Text(error_line(one), "red"))


def print_cells(cells: Sequence[Cell], known: Sequence[bool], console: Console) -> None:
    """The cells of a plan, and which of them are in the file already."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("setting", "task", "seed", "known"):
        table.add_column(title, no_wrap=True)
    for cell, there in zip(cells, known, strict=True):
        seed = "" if cell.seed is None else str(cell.seed)
        table.add_row(flowing(cell.setting), flowing(cell.task), seed, "yes" if there else "")
    console.print(table)


def knee_sentence(curve: Curve) -> str:
    """ "facts, wanda:{}: safe up to wanda:0.3, which removes 23.6 % of the parameters (wanda:0.4: broken)."; "" for a
    curve without amounts."""
    if len(curve.points) < 2 or curve.kind is None:
        return ""
    name = f"{flowing(curve.task)}, {flowing(curve.family)}"
    stop = curve.stop
    why = "" if stop is None else f"{flowing(stop.setting)}: {stop.doubt or stop.held}"
    if curve.knee is None:
        return f"{name}: no knee; the smallest setting is not shown to be safe ({why})."
    at = curve.points[curve.knee]
    removes = "" if at.removed is None else f", which removes {100 * at.removed:.1f} % of the parameters"
    return f"{name}: safe up to {flowing(at.setting)}{removes} ({why or 'all are safe'})."


def result_line(result: CellResult) -> str:
    """One finished cell, for a person who watches: "wanda:0.3 on facts: 61.2 % of 68.4 %, broken · 12 s"."""
    name = _cell_name(result.cell)
    taken = f"{result.seconds + result.pruning_seconds:.0f} s"
    if result.error is not None:
        return error_line(result)
    if result.row is not None:
        row = result.row
        scores = f"{tenths(row.pruned.value)} % ({row.figure}; dense {tenths(row.dense.value)} %)"
        return f"{name}: {scores}, {row.outcome} · {taken}"
    assert result.run is not None, "a result has a row, a run or an error"
    return f"{name}: ΣKL {_kl(result.run)} nats in {result.run.steps} steps · {taken}"


def error_line(result: CellResult) -> str:
    """A cell that failed, and why."""
    error = result.error
    assert error is not None, "it has failed"
    return f"{_cell_name(result.cell)}: {flowing(error.title)}: {flowing(error.message)} {flowing(error.hint)}".rstrip()


def _cell_name(cell: Cell) -> str:
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    return f"{flowing(cell.setting)} on {flowing(cell.task)}{seed}"


def _scores(found: Sweep) -> Table:
    by_key = results_by_key(found)
    cells = found.header.cells
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    rows = list(dict.fromkeys((cell.setting, cell.seed) for cell in cells))
    seeded = any(seed is not None for _, seed in rows)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("setting", no_wrap=True)
    if seeded:
        table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("removed", justify="right", no_wrap=True)
    for task in tasks:
        table.add_column(fit(flowing(task), min(_LONGEST_NAME, len(task))), justify="right", no_wrap=True)
    at = {(cell.setting, cell.seed, cell.task): by_key.get(str(cell.key)) for cell in cells}
    dense = [_dense([one for (_, _, name), one in at.items() if name == task]) for task in tasks]
    table.add_row("dense", *([""] if seeded else []), "", *dense, style="blue")
    for setting, seed in rows:
        here = [at.get((setting, seed, task)) for task in tasks]
        removed = next((one.removed.share for one in here if one is not None and one.removed is not None), None)
        table.add_row(
            fit(flowing(setting), min(_LONGEST_SETTING, len(setting))),
            *(["" if seed is None else str(seed)] if seeded else []),
            "" if removed is None else f"{100 * removed:.1f} %",
            *map(_figure, here),
        )
    return table


def _dense(results: Sequence[CellResult | None]) -> str:
    row = next((one.row for one in results if one is not None and one.row is not None), None)
    return f"{tenths(row.dense.value)}  " if row is not None else ""


def _figure(result: CellResult | None) -> Text:
    if result is None:
        return Text("·  ", "dim")
    if result.error is not None:
        return Text("failed  ", "red")
    if result.row is not None:
        outcome: Outcome = result.row.outcome
        return Text(f"{tenths(result.row.pruned.value)} {OUTCOME_SIGNS[outcome]}", STYLES.get(outcome, ""))
    return Text(f"{_kl(result.run)}  " if result.run is not None else "")


def _kl(run: Summary) -> str:
    """ΣKL; a dash if nothing was compared."""
    value = summary_value(run, "kl_sum")
    return "–" if value is None else numbers.significant(value, 3)


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)
