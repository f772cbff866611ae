"""Makes the cells of a plan: every setting on every task with every seed, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet
from probes.schema.spec import PairSpec
from probes.schema.sweep import Cell, PromptTask, SweepPlan
from probes.sweep.jobs import DenseFacts
from probes.sweep.keys import cell_key
from probes.sweep.plan_check import SweptTask, cell_spec


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell, and what computes it."""

    cell: Cell
    spec: PairSpec
    task: SweptTask

    @property
    def items(self) -> ItemSet | None:
        return self.task if isinstance(self.task, ItemSet) else None

    @property
    def prompt(self) -> PromptTask | None:
        return self.task if isinstance(self.task, PromptTask) else None


def planned_cells(
    plan: SweepPlan, tasks: Sequence[SweptTask], dense: DenseFacts
) -> tuple[tuple[PlannedCell, ...], tuple[str, ...]]:
    """The cells of a plan in the order in which they are computed, so that weights are pruned once for all tasks; and
    sentences about seeds that have no effect.

    Raises `BadInput` if two settings or tasks of other names are the same.
    """
    found: dict[str, PlannedCell] = {}
    merged: dict[str, None] = {}
    for swept in plan.settings:
        for seed in plan.seeds:
            for task in tasks:
                spec = cell_spec(plan, swept.setting, seed)
                key = cell_key(dense, plan.dense, swept.setting, spec.calibration, task, plan.options, seed)
                text = str(swept.setting)
                known = found.get(str(key))
                if known is not None:
                    if known.cell.setting != text or known.cell.task != task.name:
                        first = f"{known.cell.setting} on {known.cell.task}"
                        raise BadInput(
                            "Same cell twice",
                            f"{visible(first, 200)} and {visible(f'{text} on {task.name}', 200)} are the same cell.",
                            "Name each setting and each task once.",
                        )
                    merged[text] = None
                    continue
                here = task
                if isinstance(task, PromptTask) and seed is not None:
                    here = replace(task, sampling=replace(task.sampling, seed=seed))
                cell = Cell(text, swept.family, swept.amount, task.name, seed if key.seed else None, key)
                found[str(key)] = PlannedCell(cell, spec, here)
    notes = []
    if merged:
        settings = ", ".join(merged)
        notes.append(
            f"{len(plan.seeds)} seeds are one cell wherever nothing is drawn at random: {visible(settings, 300)}."
        )
    return tuple(found.values()), tuple(notes)
