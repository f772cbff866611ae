"""Checks a plan before anything slow, and reads the items of its tasks. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from probes.early import check_early
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet
from probes.schema.prune_setting import Setting
from probes.schema.settings import Follow
from probes.schema.spec import PairSpec
from probes.schema.sweep import PromptTask, SweepPlan
from probes.system.progress import UNWATCHED, Work
from probes.tasks.item_files import item_set, shipped_names
from probes.tasks.judge import check_judging

SweptTask = ItemSet | PromptTask


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
        check_early(cell_spec(plan, one.setting, None))
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


def cell_spec(plan: SweepPlan, setting: Setting, seed: int | None) -> PairSpec:
    """The two models of a cell, and the seed of its calibration."""
    calibration = plan.calibration if seed is None else replace(plan.calibration, seed=seed)
    return PairSpec(plan.dense, prune=setting, calibration=calibration, load=plan.load)


def _check_once(what: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"The {what} {visible(twice, 200)} is in the plan twice."
        raise BadInput("Same cell twice", message, f"Name each {what} once.")
