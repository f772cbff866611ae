"""`phier sweep`: many settings on many tasks, kept in a file with which a stopped sweep goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from explorer.cli.judging_options import judges, takes_items
from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import text_of
from explorer.cli.scored_tasks import split_names
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.items import Way
from probes.schema.prune_methods import Method
from probes.schema.settings import Follow, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions
from probes.schema.sweep import PROMPT_STEPS, PromptTask, SweepPlan
from probes.schema.task_options import TaskOptions
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.sweep.settings import RANGE_EXAMPLES, swept_settings
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from probes.sweep.jobs import Workers

_SETTING = re.compile(rf"(?:{'|'.join(sorted(Method, key=len, reverse=True))})[:@]", re.IGNORECASE)
_PLAN_OPTIONS = (
    *("settings", "tasks", "prompts", "follow", "steps", "seeds", "most", "way", "margin", "level", "dense"),
    *("temperature", "top_k", "top_p"),
)
DEFAULT_OUT = "sweep.jsonl"


@click.command("sweep", cls=ShellCommand, configured=True, also=("dense",))
@argument("what", nargs=-1, help="A plan (.toml), or a sweep's file (.jsonl) to go on with; or settings.")
@option(
    "--settings",
    multiple=True,
    metavar="SETTINGS",
    section="Sweep",
    help=f"Settings, with ranges in braces; may be repeated: {RANGE_EXAMPLES}. Quote them for the shell.",
)
@option(
    "--tasks",
    multiple=True,
    metavar="NAME,FILE",
    section="Sweep",
    help="Tasks that ship, files of items, or data sets of the hub. [default: all that ship, unless --prompt is given]",
)
@option("--prompt", "prompts", multiple=True, section="Sweep", help="Step both models on this prompt, too; may repeat.")
@option(
    "--seeds", default="", metavar="N,N", section="Sweep", help="Seeds of pruning and sampling, with commas between."
)
@takes_items("Sweep")
@judges("Sweep")
@option("--out", default="", metavar="FILE", section="Sweep", help=f"Keep it in this file. [default: {DEFAULT_OUT}]")
@option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    section="Sweep",
    help="Compute cells in N processes; 0 for one a GPU, or one a core if there is memory. [default: in this process]",
)
@option("--scheduler", default="", metavar="ADDRESS", section="Sweep", help="Compute on this dask cluster.")
@option("--check", is_flag=True, section="Sweep", help="List the cells with the time and memory they need, and stop.")
@option("--dense", default="demo", section="Models", help="The dense model. [default: demo]")
@option(
    "--follow",
    type=click.Choice([str(one) for one in Follow if one is not Follow.TEXT]),
    section="Run",
    help="--prompt: the tokens that the models read: the dense or the pruned model's, or each its own.",
)
@option("--steps", type=click.IntRange(min=1), section="Run", help=f"--prompt: steps. [default: {PROMPT_STEPS}]")
@takes(Sampling, without=("seed",))
@takes(CalibrationSpec, without=("prune_seed",))
@takes(LoadOptions)
@takes(TaskOptions)
@option(
    "--export",
    "export_to",
    default="",
    metavar="OUT",
    section="Sweep",
    help="Write it to this file, too: .csv, .jsonl, .parquet, .svg, .png or .pdf; a figure for each family. Of a "
    "sweep's file, it is what is there: nothing is computed, and --margin judges it again.",
)
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def sweep_command(
    typed: Typed,
    what: tuple[str, ...],
    out: str,
    export_to: str,
    workers: int | None,
    scheduler: str,
    check: bool,
    json: bool,
    **_of_typed: object,
) -> None:
    """Score many settings on many tasks. A stopped sweep goes on where it stopped."""
    from explorer.recordings.export.sweep_export import check_sweep_export

    target = check_sweep_export(export_to) if export_to else None
    if target is not None and len(what) == 1 and what[0].lower().endswith(".jsonl"):
        _export_there(typed, expanded(what[0]), target)
        return
    plan, path = _asked(typed, what, out)
    from explorer.cli.sweep_run import check_sweep, print_complete, run_in_shell

    if not check and [expanded(one) for one in what] == [path] and print_complete(path, json, target):
        return
    made = workers_asked(workers, scheduler)
    try:
        if check:
            check_sweep(plan, path, made, json)
        else:
            run_in_shell(plan, path, made, json, target)
    finally:
        made.close()


def _export_there(typed: Typed, path: Path, target: Path) -> None:
    """Exports what a sweep's file holds, without a model."""
    from explorer.recordings.export.sweep_export import export_sweep, written_sentence
    from probes.sweep.curves import rejudged_sweep
    from probes.sweep.sweep_file import read_sweep
    from probes.tasks.judge import check_judging

    names = [name for name in _PLAN_OPTIONS if name != "margin"]
    typed.refuse(
        (*names, "check", "out", "json", "workers", "scheduler"), "on what a file holds already", "Leave it out."
    )
    margin = typed.get("margin", None)
    found = read_sweep(path)
    if margin is not None:
        check_judging(margin, found.header.level)
        found = rejudged_sweep(found, margin)
    click.echo(written_sentence(export_sweep(found, target)), err=True)


def _asked(typed: Typed, what: Sequence[str], out: str) -> tuple[SweepPlan, Path]:
    """The plan, and the file that the results go to. Raises `BadInput`."""
    from probes.sweep.plan_file import plan_from_toml, read_plan

    files = [one for one in what if not _is_setting(one)]
    settings = [*typed.get("settings", ()), *(one for one in what if _is_setting(one))]
    if not files:
        return _plan(typed, settings), expanded(out or DEFAULT_OUT)
    if len(files) > 1 or settings:
        raise BadInput("Two plans", "A plan or a sweep's file has its own settings.", "Give one of them, alone.")
    loading = tuple(name for name in ("device", "dtype", "device_map", "threads", "calibration", "samples", "length"))
    more = ("trust_remote_code", "allow_pickle", "pooling", "refuse_long", "new_tokens")
    typed.refuse((*_PLAN_OPTIONS, *loading, *more), "on a plan or a sweep's file", "Write it into a plan.")
    path = expanded(files[0])
    if path.suffix.lower() == ".toml":
        return read_plan(path), expanded(out) if out else Path(path.name).with_suffix(".jsonl")
    from probes.sweep.sweep_file import read_sweep

    return plan_from_toml(read_sweep(path).header.plan, f"The plan in {flowing(str(path))}"), expanded(
        out
    ) if out else path


def _is_setting(word: str) -> bool:
    """A setting, also one whose method is misspelt, which is then said; every other word is a file."""
    meant = ("{" in word or ":" in word) and not word.lower().endswith((".toml", ".jsonl"))
    return bool(_SETTING.match(word)) or (meant and not expanded(word).exists())


def _plan(typed: Typed, settings: Sequence[str]) -> SweepPlan:
    prompts = typed.get("prompts", ())
    if not prompts:
        names = ("follow", "steps", "temperature", "top_k", "top_p")
        typed.refuse(names, "without --prompt", "Leave it out, or give a prompt.")
    follow = Follow(typed.get("follow", Follow.DENSE))
    sampling = typed.build(Sampling)
    tasks = tuple(
        PromptTask(
            f"prompt {place}", text_of(one), follow=follow, steps=typed.get("steps", PROMPT_STEPS), sampling=sampling
        )
        for place, one in enumerate(prompts, 1)
    )
    return SweepPlan(
        settings=tuple(one for text in settings for one in swept_settings(text)),
        dense=typed.get("dense", "demo"),
        tasks=tuple(split_names(typed.get("tasks", ()))),
        prompts=tasks,
        seeds=_seeds(typed.get("seeds", "")),
        most=typed.get("most"),
        way=Way(typed.get("way")) if typed.get("way") else None,
        margin=typed.get("margin", MARGIN_OF_SAFETY),
        level=typed.get("level", LEVEL),
        load=typed.build(LoadOptions),
        calibration=typed.build(CalibrationSpec),
        options=typed.build(TaskOptions),
    )


def _seeds(text: str) -> tuple[int | None, ...]:
    if not text:
        return (None,)
    try:
        seeds = [int(one) for one in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise BadInput("Seeds", f"{flowing(text)} are no seeds.", "Use whole numbers with commas between: 0,1,2.")
    return tuple(seeds)


def workers_asked(number: int | None, scheduler: str) -> Workers:
    if scheduler:
        if number is not None:
            raise BadInput("Workers", "A cluster has its own number of workers.", "Leave out --workers or --scheduler.")
        return _of_cluster(scheduler)
    if number is not None:
        from probes.sweep.executors.processes import Processes

        cores = os.cpu_count() or 1
        if number > max(2, cores):
            message = f"{number:,} processes can't be used: this machine has {cores} processor cores."
            raise BadInput("Workers", message, "Use --workers 0 for as many as there are GPUs, or cores and memory.")
        return Processes(number, _say)
    from probes.sweep.executors.here import Here

    return Here()


def _of_cluster(scheduler: str) -> Workers:
    from rich.console import Console

    from explorer.cli.progress_bar import Bar
    from probes.sweep.executors.cluster import ClusterWorkers
    from probes.sweep.executors.scheduler import connect, exposure, scheduler_address

    if warning := exposure(scheduler_address(scheduler)):
        _say(warning)
    with Bar(Console(stderr=True)) as bar:
        return ClusterWorkers(connect(scheduler), bar.work, _say)


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
