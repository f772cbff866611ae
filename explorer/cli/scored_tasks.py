"""Scores the items of tasks for a command: reads them, loads the models, keeps the results, shows the progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from explorer.cli.judging_options import takes_items
from explorer.cli.options import Typed, option, option_names, takes
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.items import ItemSet, Way
from probes.schema.spec import PairSpec
from probes.schema.task_options import TaskOptions
from probes.system.progress import UNWATCHED, Work
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from probes.tasks.results_file import KeptResults

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS = ("harness", "examples", "most", "way", "labels", "skip_bad")
"""Options of `scores_tasks` beside those of `TaskOptions`."""


@dataclass(frozen=True, slots=True)
class TasksAsked:
    """The tasks that a command was asked for; none means all that ship."""

    names: tuple[str, ...] = ()
    """Of sets that ship, files of items, or data sets of the hub."""
    harness: tuple[str, ...] = ()
    """Tasks of lm-evaluation-harness, or its task files."""
    examples: int | None = None
    most: int | None = None
    """Only the first items of each task."""
    way: Way | None = None
    """How options are scored, whatever the item sets say."""
    labels: tuple[str, ...] = ()
    """The labels of classification, in the order of their numbers."""
    skip_bad: bool = False
    """Leave lines out that can't be used?"""

    def read(self, work: Work = UNWATCHED) -> list[ItemSet]:
        """The item sets, without those of the harness. Raises `BadInput`."""
        from probes.tasks.item_files import item_set, shipped_names

        names = self.names or (() if self.harness else shipped_names())
        found = [
            item_set(name, way=self.way, labels=self.labels, skip_bad=self.skip_bad, limit=self.most, work=work)
            for name in names
        ]
        _check_names(found)
        if self.way is not None and not any(items.questions for items in found):
            raise BadInput("Option without effect", "--way has no effect without options or labels.", "Leave it out.")
        return found


def scores_tasks(function: _Function) -> _Function:
    """The options of commands that score tasks: --pooling and the like, --harness, --results."""
    made: list[Callable[[_Function], _Function]] = [
        takes(TaskOptions),
        option(
            "--harness",
            multiple=True,
            metavar="NAME,FILE",
            section="Tasks",
            help="Tasks of lm-evaluation-harness, or its task files (.yaml); needs phier[harness].",
        ),
        option(
            "--examples",
            type=click.IntRange(min=0),
            metavar="N",
            section="Tasks",
            help="--harness: solved examples before each question. [default: the task's own number]",
        ),
        takes_items(),
        option(
            "--labels",
            default="",
            metavar="NAMES",
            section="Tasks",
            help="The label words of numbered labels, in their order, with commas between.",
        ),
        option("--skip-bad", is_flag=True, section="Tasks", help="Leave out lines that can't be used, and say which."),
        option(
            "--results",
            default="",
            metavar="FILE",
            section="Tasks",
            help="Keep the results in this file; a stopped run goes on with it.",
        ),
    ]
    for add in reversed(made):
        function = add(function)
    return function


def tasks_asked(typed: Typed, names: Sequence[str]) -> TasksAsked:
    """Reads the options of `scores_tasks`. Raises `BadInput` for one without effect."""
    harness = split_names(typed.get("harness", ()))
    if not harness:
        typed.refuse(("examples",), "without --harness", "Leave it out, or name tasks of the harness.")
    elif not names:
        typed.refuse(("way", "labels", "skip_bad"), "on tasks of the harness alone", "Leave it out.")
    labels = split_names([typed.get("labels")]) if typed.get("labels") else []
    way = Way(typed.get("way")) if typed.get("way") else None
    skip_bad = bool(typed.get("skip_bad"))
    return TasksAsked(
        tuple(names), tuple(harness), typed.get("examples"), typed.get("most"), way, tuple(labels), skip_bad
    )


def split_names(given: Sequence[str]) -> list[str]:
    """The names in `--tasks facts,tone --tasks mine.jsonl`; a file whose name has a comma is one name."""
    names = []
    for text in given:
        names += [text] if os.path.exists(expanded(text)) else [one.strip() for one in text.split(",")]
    if not all(names):
        raise BadInput("Tasks", "One of the tasks has no name.", "Write them with a comma between: facts,tone.")
    return names


def models_typed(typed: Typed) -> bool:
    """Was anything typed that says which models are scored, or how?"""
    names = (*option_names(PairSpec), *option_names(TaskOptions), *_OPTIONS)
    return any(typed.get(name) is not None for name in names)


def scored_tasks(spec: PairSpec, asked: TasksAsked, options: TaskOptions, results: Path | None) -> KeptResults:
    """Scores what is not yet in the results file, and gives everything of these tasks.

    Raises `BadInput` before a model is loaded if the items, the models or the file can't be used. A person who stops it
    is told how to go on.
    """
    from rich.console import Console

    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import tell_notes
    from probes.early import check_early
    from probes.tasks.results_file import check_results

    with Bar(Console(stderr=True)) as bar:
        own = asked.read(bar.work)
        check_early(spec)
        if results is not None:
            check_results(results, own, str(spec.prune or ""))
        from probes.pair import load_pair
        from probes.tasks.results_file import results_file, results_header
        from probes.tasks.scored_items import score_items

        harness = None
        if asked.harness:
            from probes.tasks.harness import harness_tasks

            harness = harness_tasks(asked.harness, bar.work, examples=asked.examples, most=asked.most)
        item_sets = [*own, *(harness.sets if harness else ())]
        _check_names(item_sets)
        pair = load_pair(spec, bar.work)
        with results_file(results, results_header(pair, options)) as file:
            file.take(item_sets)
            try:
                for found in score_items(pair, own, bar.work, done=file.known, options=options):
                    file.add(found)
                for one in harness.score(pair, bar.work, done=file.known) if harness else ():
                    file.add(one)
            except KeyboardInterrupt:
                _say_how_to_go_on(file.path, len(file.known))
                raise
            kept = file.kept
    tell_notes(pair.every_warning, (*pair.every_note, *bar.work.notes))
    return of_tasks(kept, item_sets)


def of_tasks(kept: KeptResults, item_sets: Sequence[ItemSet]) -> KeptResults:
    """The results of these tasks only."""
    names = {items.name for items in item_sets}
    return replace(
        kept,
        item_sets=tuple(item_sets),
        results=tuple(one for one in kept.results if one.task in names),
        similarities=tuple(one for one in kept.similarities if one.task in names),
    )


def _check_names(item_sets: Sequence[ItemSet]) -> None:
    names = [items.name for items in item_sets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"Two tasks are named {flowing(twice)}."
        raise BadInput("Tasks", message, "Name each task once, or rename one of the files.")


def _say_how_to_go_on(path: Path | None, known: int) -> None:
    if path is None:
        click.echo("Stopped; nothing is kept. With --results FILE a stopped run can be continued.", err=True)
    else:
        kept = f"Stopped: {known:,} results are in {flowing(str(path))}."
        click.echo(f"{kept} The same command goes on with the others.", err=True)
