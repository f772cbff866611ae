"""`phier recommend`: the setting that removes the most and is still safe for some tasks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from explorer.cli.judging_options import judges, takes_items
from explorer.cli.options import ShellCommand, Typed, option, takes
from explorer.cli.scored_tasks import split_names
from explorer.cli.sweep import workers_asked
from explorer.words.defaults import DEFAULT_PROMPT
from explorer.words.token_text import flowing
from probes.schema.counting import number_of
from probes.schema.events import WorkProgressed
from probes.schema.items import ItemSet, Way
from probes.schema.spec import CalibrationSpec, LoadOptions
from probes.schema.sweep import PromptTask, SweepPlan, SweepProgress
from probes.schema.task_options import TaskOptions
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.sweep.amounts import SEARCHED, STEP, families, most_settings
from probes.sweep.settings import swept_settings
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from probes.schema.sweep import Recommendation, Trial
    from probes.sweep.jobs import Workers

METHODS = ("wanda", "magnitude", "drop-attn")
"""The methods that are searched, unless others are named."""
_ALLOCATED = 2
COST_STEPS = 32
"""Steps of the prompt on which a layer's cost is measured."""
_OUT = "recommend.jsonl"
_NEVER_TRIED = "Patterns such as 2:4, several methods in one setting, other calibration data and seeds."


@click.command("recommend", cls=ShellCommand, configured=True, also=("dense",))
@option(
    "--task",
    "tasks",
    multiple=True,
    aliases=("tasks",),
    metavar="NAME,FILE",
    section="Tasks",
    help="Tasks that the setting must be safe for: some that ship, files of items, data sets. [default: all that ship]",
)
@takes_items()
@option(
    "--confirm",
    multiple=True,
    metavar="NAME,FILE",
    section="Tasks",
    help="Judge the setting that was found on these other items, too.",
)
@judges()
@option(
    "--methods",
    multiple=True,
    metavar="METHOD,METHOD",
    section="Search",
    help=f"Methods to search, also with targets: wanda@mlp,drop-attn. [default: {','.join(METHODS)}]",
)
@option(
    "--step",
    type=float,
    default=STEP,
    metavar="X",
    section="Search",
    help=f"The distance of two ratios that are tried; layers are tried one by one. [default: {STEP:g}]",
)
@option(
    "--allocate",
    type=click.IntRange(min=0),
    default=_ALLOCATED,
    metavar="N",
    section="Search",
    help=f"Share larger amounts of the N best methods out among the layers. [default: {_ALLOCATED}]",
)
@option("--trials", type=click.IntRange(min=1), metavar="N", section="Search", help="Try at most N settings.")
@option(
    "--prompt",
    default=DEFAULT_PROMPT,
    section="Search",
    help="The prompt on which it is measured what pruning each layer costs. [default: that of phier run]",
)
@option("--out", default="", metavar="FILE", section="Sweep", help=f"A sweep's file for the results. [default: {_OUT}]")
@option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    section="Sweep",
    help="Compute cells in N processes; 0 for one a GPU, or one a core if there is memory. [default: in this process]",
)
@option("--scheduler", default="", metavar="ADDRESS", section="Sweep", help="Compute on this dask cluster.")
@option("--dense", default="demo", section="Models", help="The dense model. [default: demo]")
@takes(CalibrationSpec)
@takes(LoadOptions)
@takes(TaskOptions)
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def recommend_command(
    typed: Typed,
    tasks: tuple[str, ...],
    confirm: tuple[str, ...],
    methods: tuple[str, ...],
    step: float,
    out: str,
    workers: int | None,
    scheduler: str,
    json: bool,
    **_of_typed: object,
) -> None:
    """Find the setting that removes the most and is still safe. A stopped search goes on where it stopped."""
    named = methods or METHODS
    smallest = families(named, layers=2, step=step)[0]
    plan = SweepPlan(
        settings=swept_settings(smallest.at(smallest.amounts[0]).setting),
        dense=typed.get("dense", "demo"),
        tasks=tuple(split_names(tasks)),
        most=typed.get("most"),
        way=Way(typed.get("way")) if typed.get("way") else None,
        margin=typed.get("margin", MARGIN_OF_SAFETY),
        level=typed.get("level", LEVEL),
        load=typed.build(LoadOptions),
        calibration=typed.build(CalibrationSpec),
        options=typed.build(TaskOptions),
    )
    path = expanded(out or _OUT)
    made = workers_asked(workers, scheduler)
    try:
        found, dense = _searched(typed, plan, path, made, named, step, split_names(confirm))
    finally:
        made.close()
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.recommend_table import print_recommendation, recommendation_object

    if json:
        print_json(recommendation_object(found, dense=dense, sweep=str(path)))
    else:
        print_recommendation(found, dense, Console())
        click.echo(f"The cells are in {flowing(str(path))}.", err=True)
    if not found.tasks and not found.nothing_to_lose:  # no setting could be carried out
        raise click.exceptions.Exit(1)


def _searched(
    typed: Typed,
    plan: SweepPlan,
    path: Path,
    workers: Workers,
    methods: tuple[str, ...],
    step: float,
    confirm: list[str],
) -> tuple[Recommendation, str]:
    """The recommendation and the dense model's name; shows each trial as it ends. A person who stops it is told how to
    go on."""
    from rich.console import Console

    from explorer.cli.progress_bar import Bar, time_left
    from explorer.cli.recommend_table import trial_line
    from explorer.words.recommendations import too_few_sentence
    from probes.sweep.plan_check import check_plan
    from probes.sweep.recommend import Question, recommend
    from probes.sweep.sweep_file import check_sweep_file
    from probes.tasks.judge import fewest_for_safe

    errors = Console(stderr=True)

    def say(line: str) -> None:
        errors.print(line, markup=False, highlight=False, soft_wrap=True)

    with Bar(errors) as bar:
        sets = [task for task in check_plan(plan, bar.work) if isinstance(task, ItemSet)]
        fewest = fewest_for_safe(plan.margin, plan.level)
        if few := too_few_sentence({items.name: len(items) for items in sets}, plan.margin, plan.level, fewest):
            say(few)
        check_sweep_file(path, plan.load.threads)
        from probes.sweep.evaluated import SweepEvaluation

        def tell(progress: SweepProgress) -> None:
            names = ", ".join(flowing(name) for name, _ in progress.running)
            done = progress.done + progress.failed + sum(share for _, share in progress.running)
            bar.show(WorkProgressed(names or "Searching", done, progress.of, "cells"))

        prompt = PromptTask("", typed.get("prompt", DEFAULT_PROMPT), steps=COST_STEPS)
        evaluation = SweepEvaluation(plan, path, workers, prompt, bar.work, tell)
        asked = Question(
            evaluation.tasks,
            plan.margin,
            plan.level,
            typed.get("allocate", _ALLOCATED),
            typed.get("trials"),
            evaluation.add_tasks(confirm, bar.work) if confirm else (),
        )
        searched = families(methods, evaluation.layers, step)
        most = most_settings(searched, asked.trials)
        tasks = number_of(len(asked.tasks), "task")
        say(f"Searches by halving: about {number_of(most, 'setting')} on {tasks}, then allocation by layer.")
        begun, tried = time.monotonic(), 0

        def told(trial: Trial) -> None:
            nonlocal tried
            tried += 1
            left = time_left(time.monotonic() - begun, tried, most) if tried < most else ""
            counted = f"  ({tried} of about {most}{', ' if left else ''}{left})" if tried <= most else ""
            say(f"{trial_line(trial)}{counted}")

        try:
            found = recommend(searched, asked, evaluation, told)
        except KeyboardInterrupt:
            say(f"Stopped. The same command goes on with {flowing(str(path))}.")
            raise
    left = [str(one) for one in SEARCHED if one not in {family.method for family in searched}]
    others = (*([f"Methods: {', '.join(left)}."] if left else ()), _NEVER_TRIED)
    return replace(found, not_tried=(*found.not_tried, *others)), evaluation.dense
