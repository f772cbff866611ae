"""A sweep made by hand: cells whose figures follow from counts of right answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from probes.schema.items import ItemSet
from probes.schema.summary import Summary
from probes.schema.sweep import Cell, CellError, CellKey, CellResult, Removed, Sweep, SweepHeader
from probes.schema.verdict import TaskVerdict
from probes.tasks.judge import task_row
from tests.support.task_results import counted, questions

PARAMETERS = 1_000_000


def cell(setting: str, task: str = "facts", *, seed: int | None = None, amount: float | None = None) -> Cell:
    """The cell of a setting METHOD:AMOUNT; its family is METHOD:{}."""
    method, colon, given = setting.partition(":")
    swept = amount if amount is not None else float(given) if colon else None
    key = CellKey("model", setting, "", task, "" if seed is None else f"seed{seed}")
    return Cell(setting, f"{method}:{{}}" if colon else setting, swept, task, seed, key)


def counted_row(
    both: int,
    lost: int = 0,
    gained: int = 0,
    neither: int = 0,
    *,
    task: str = "facts",
    of: int | None = None,
    margin: float = 0.02,
    level: float = 0.95,
    items: ItemSet | None = None,
) -> TaskVerdict:
    """The row of questions with four options, of which so many are right in both models, in one of them, in none."""
    asked = items or questions(of or both + lost + gained + neither, name=task)
    return task_row(asked, counted(asked, both, lost, gained, neither), margin, level)


def scored(of: Cell, row: TaskVerdict, removed: float = 0.1) -> CellResult:
    """The result of a cell; `removed` is the share of the parameters."""
    return CellResult(of, replace(row, task=of.task), removed=Removed(round(removed * PARAMETERS), 0, (), PARAMETERS))


def stepped(of: Cell, run: Summary, removed: float = 0.1) -> CellResult:
    """The result of a prompt's cell."""
    return CellResult(of, run=run, removed=Removed(round(removed * PARAMETERS), 0, (), PARAMETERS))


def failed(of: Cell, message: str = "it does not fit.") -> CellResult:
    return CellResult(of, error=CellError("Out of memory", message))


def swept(cells: Sequence[Cell], results: Sequence[CellResult], *, margin: float = 0.02, level: float = 0.95) -> Sweep:
    header = SweepHeader("tiny", "tiny", tuple(cells), margin, level, {"phier": "1"})
    return Sweep(header, tuple(results))
