"""Makes the cells of a plan: every setting on every task with every seed, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probes.early import check_early
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet
from probes.schema.prune_setting import Setting
from probes.schema.settings import Follow
from probes.schema.spec import PairSpec
from probes.schema.sweep import Cell, PromptTask, SweepPlan
from probes.sweep.jobs import DenseFacts
from probes.sweep.keys import cell_key
from probes.system.progress import UNWATCHED, Work
from probes.tasks.item_files import item_set, shipped_names
from probes.tasks.judge import check_judging

SweptTask = ItemSet | PromptTask


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


def check_plan(plan: SweepPlan, work: Work = UNWATCHED) -> tuple[SweptTask, ...]:
    """Checks all of a plan before anything is loaded, and reads its items.

    Raises `BadInput` for a setting, a file, a model, an item set or a number that can't be used, and for a setting,
    task or seed that is there twice.
    """
    check_judging(plan.margin, plan.level)
    if not plan.settings:
        raise BadInput("No settings", "The sweep has no settings.", "Give --settings, such as wanda:{0.1..0.7/0.1}.")
    _check_once("setting", [str(one.setting) for one in plan.settings])
    _check_once("seed", [str(seed) for seed in plan.seeds])
    for one in plan.settings:
        check_early(_spec(plan, one.setting, None))
    names = plan.tasks or (() if plan.prompts else shipped_names())
    sets = [item_set(name, way=plan.way, limit=plan.most, work=work) for name in names]
    if plan.way is not None and not any(items.questions for items in sets):
        raise BadInput("Plan", "A way of scoring has no effect without options or labels.", "Leave it out.")
    for prompt in plan.prompts:
        if prompt.follow is Follow.TEXT:
            raise BadInput("Prompt", f"{visible(prompt.name, 60)} follows a text.", "Use dense, pruned or free.")
        if not prompt.prompt:
            raise BadInput("Prompt", f"{visible(prompt.name, 60)} is empty.", "Write at least one character.")
        if prompt.steps < 1:
            raise BadInput("Prompt", f"{visible(prompt.name, 60)} has no steps.", "Use 1 or more.")
    tasks: tuple[SweptTask, ...] = (*sets, *plan.prompts)
    _check_once("task", [task.name for task in tasks])
    return tasks


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
                spec = _spec(plan, swept.setting, seed)
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


def _spec(plan: SweepPlan, setting: Setting, seed: int | None) -> PairSpec:
    calibration = plan.calibration if seed is None else replace(plan.calibration, seed=seed)
    return PairSpec(plan.dense, prune=setting, calibration=calibration, load=plan.load)


def _check_once(what: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"The {what} {visible(twice, 200)} is in the plan twice."
        raise BadInput("Same cell twice", message, f"Name each {what} once.")
