"""The cells of a sweep as a grid of settings × tasks, with the state and the figures of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from explorer.words.sweep_figures import SWEEP_FIGURES, Get, Measured, SweepFigure
from probes.schema.events import SweepRead
from probes.schema.summary import Summary
from probes.schema.sweep import Cell, CellResult, Curve, Tradeoff
from probes.schema.verdict import Outcome, TaskVerdict


class CellState(StrEnum):
    """How far a cell is."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class SeedCell:
    """One cell, and what it gave."""

    cell: Cell
    result: CellResult | None
    running: bool

    @property
    def state(self) -> CellState:
        if self.running:
            return CellState.RUNNING
        if self.result is None:
            return CellState.WAITING
        return CellState.FAILED if self.result.error is not None else CellState.DONE


_WORST = (Outcome.BROKEN, Outcome.NOTHING_TO_LOSE, Outcome.TOO_FEW, Outcome.BORDERLINE, Outcome.SAFE)


@dataclass(frozen=True, slots=True)
class GridCell:
    """One setting on one task: its cells, one for each seed."""

    setting: str
    task: str
    seeds: tuple[SeedCell, ...]

    @property
    def results(self) -> tuple[CellResult, ...]:
        """Those that have figures."""
        return tuple(one.result for one in self.seeds if one.result is not None and one.result.error is None)

    @property
    def rows(self) -> tuple[TaskVerdict, ...]:
        return tuple(one.row for one in self.results if one.row is not None)

    @property
    def runs(self) -> tuple[Summary, ...]:
        return tuple(one.run for one in self.results if one.run is not None)

    @property
    def state(self) -> CellState:
        """Done if any seed has figures; else the furthest that any has come."""
        states = {one.state for one in self.seeds}
        return next((state for state in CellState if state in states), CellState.WAITING)

    @property
    def outcome(self) -> Outcome | None:
        """The worst of its seeds; None before any, and of a prompt."""
        found = {row.outcome for row in self.rows}
        return next((outcome for outcome in _WORST if outcome in found), None)

    def mean(self, of: Get) -> float | None:
        """The mean over the seeds of a figure; None if no seed has it."""
        measured: list[Measured] = [*self.rows, *self.runs, *self.results]
        found = [value for one in measured if (value := of(one)) is not None]
        return sum(found) / len(found) if found else None


class SweepGrid:
    """A sweep as it was read, in rows and columns. It is made once for each `SweepRead`."""

    def __init__(self, read: SweepRead) -> None:
        from probes.sweep.curves import results_by_key

        self.read = read
        cells = read.sweep.header.cells
        self.settings: tuple[str, ...] = tuple(dict.fromkeys(cell.setting for cell in cells))
        """The rows, in the order of the plan."""
        self.tasks: tuple[str, ...] = tuple(dict.fromkeys(cell.task for cell in cells))
        """The columns: tasks and prompts."""
        self.families: dict[str, str] = {cell.setting: cell.family for cell in cells}
        """The family of each setting."""
        self.seeds: tuple[int | None, ...] = tuple(dict.fromkeys(cell.seed for cell in cells))
        counted = results_by_key(read.sweep)
        by_place: dict[tuple[str, str], list[SeedCell]] = {}
        for key, cell in {str(cell.key): cell for cell in cells}.items():
            found = SeedCell(cell, counted.get(key), key in read.running)
            by_place.setdefault((cell.setting, cell.task), []).append(found)
        self._cells = {place: GridCell(*place, tuple(found)) for place, found in by_place.items()}
        self._tradeoffs: dict[str, tuple[Tradeoff, ...]] = {}
        self._curves = {(curve.family, curve.task): curve for curve in read.curves}

    def at(self, row: int, column: int) -> GridCell | None:
        """The cell of a row and a column; None if the plan leaves it out."""
        return self._cells.get((self.settings[row], self.tasks[column]))

    def cell(self, setting: str, task: str) -> GridCell | None:
        return self._cells.get((setting, task))

    def family(self, row: int) -> str:
        """What the settings of a row's curve share."""
        return self.families[self.settings[row]]

    @cached_property
    def by_family(self) -> dict[str, tuple[int, ...]]:
        """The rows of each family."""
        found: dict[str, list[int]] = {}
        for row in range(len(self.settings)):
            found.setdefault(self.family(row), []).append(row)
        return {family: tuple(rows) for family, rows in found.items()}

    def curve(self, family: str, task: str) -> Curve | None:
        return self._curves.get((family, task))

    def curves_of(self, family: str) -> list[Curve]:
        """The curves of a family, in the order of the columns."""
        return [curve for task in self.tasks if (curve := self.curve(family, task)) is not None]

    def tradeoffs(self, task: str) -> tuple[Tradeoff, ...]:
        """Parameters removed against score lost, of all settings of a task that have figures."""
        if task not in self._tradeoffs:
            from probes.sweep.curves import pareto

            self._tradeoffs[task] = pareto(curve for curve in self.read.curves if curve.task == task)
        return self._tradeoffs[task]

    def is_knee(self, row: int, column: int) -> bool:
        """Is this the largest setting of its curve that is still safe?"""
        return (self.settings[row], self.tasks[column]) in self._knees

    @cached_property
    def _knees(self) -> frozenset[tuple[str, str]]:
        return frozenset((knee.setting, one.task) for one in self.read.curves if (knee := one.at_knee) is not None)

    def is_prompt(self, column: int) -> bool:
        """Is it a prompt, and no task? Known once one of its cells is done."""
        return self.tasks[column] in self._prompts

    @cached_property
    def _prompts(self) -> frozenset[str]:
        return frozenset(one.cell.task for one in self.read.sweep.results if one.run is not None)

    @cached_property
    def figures(self) -> tuple[SweepFigure, ...]:
        """The figures that cells of this sweep can have."""
        prompts = {self.is_prompt(column) for column in range(len(self.tasks))}
        return tuple(one for one in SWEEP_FIGURES if any(one.of(prompt=prompt) for prompt in prompts))

    @cached_property
    def removed(self) -> dict[str, float]:
        """The share of the parameters that each setting removed, as far as it is known."""
        found: dict[str, float] = {}
        for result in self.read.sweep.results:
            if result.removed is not None:
                found.setdefault(result.cell.setting, result.removed.share)
        return found

    @cached_property
    def counts(self) -> dict[CellState, int]:
        """How many cells are in each state; the seeds count each."""
        found = dict.fromkeys(CellState, 0)
        for cell in self._cells.values():
            for one in cell.seeds:
                found[one.state] += 1
        return found

    @property
    def final(self) -> bool:
        """Has every cell a result?"""
        return not (self.counts[CellState.WAITING] or self.counts[CellState.RUNNING])

    @property
    def seconds_left(self) -> float | None:
        """About how long the cells that are left take, at the mean of those that are done and with as many workers as
        cells are running; None if no program computes any, or none is done."""
        running, waiting = self.counts[CellState.RUNNING], self.counts[CellState.WAITING]
        done = [one for one in self.read.sweep.results if one.error is None]
        if not running or not done:
            return None
        mean = sum(one.seconds + one.pruning_seconds for one in done) / len(done)
        return mean * (waiting + running / 2) / running
