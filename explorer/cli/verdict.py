"""`phier verdict`: for which tasks a setting is safe, with what the items can say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from explorer.cli.judging_options import judges
from explorer.cli.options import ShellCommand, Typed, option, takes
from explorer.cli.read_options import pair_spec
from explorer.cli.scored_tasks import models_typed, of_tasks, scored_tasks, scores_tasks, split_names, tasks_asked
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.spec import PairSpec
from probes.schema.task_options import TaskOptions
from probes.system.ranks import own_file, rank
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.tasks.results_file import KeptResults


@click.command("verdict", cls=ShellCommand, configured=True, sharded=True)
@takes(PairSpec)
@option(
    "--tasks",
    multiple=True,
    metavar="NAME,FILE",
    section="Tasks",
    help="Tasks that ship, files of items, or data sets of the hub. [default: all that ship]",
)
@scores_tasks
@judges()
@option(
    "--export",
    "export_to",
    default="",
    metavar="OUT",
    help="Write it to this file, too: .csv, .jsonl, .parquet, .json, .svg, .png, .pdf or .html.",
)
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def verdict_command(
    typed: Typed,
    tasks: tuple[str, ...],
    results: str,
    margin: float,
    level: float,
    export_to: str,
    json: bool,
    **_of_typed: object,
) -> None:
    """Say for which tasks a setting is safe. --results alone judges what is there, without a model."""
    from explorer.recordings.export.verdict_export import check_verdict_export, export_verdict
    from probes.tasks.judge import check_judging, judge

    check_judging(margin, level)
    target = check_verdict_export(export_to) if export_to else None
    path = own_file(expanded(results) if results else None)
    if path is not None and not models_typed(typed):
        kept = _there(path, split_names(tasks))
    else:
        asked, options = tasks_asked(typed, split_names(tasks)), typed.build(TaskOptions)
        kept = scored_tasks(pair_spec(typed), asked, options, path)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.verdict_table import print_verdict, verdict_object

    verdict = judge(kept.found, kept.item_sets, margin, level)
    plain = verdict_object(verdict, made_with=asdict(kept.header))
    if target is not None and rank() == 0:
        export_verdict(verdict, target, plain)
    if json:
        print_json(plain)
    else:
        print_verdict(verdict, Console())
        for note in verdict.notes:
            click.echo(note, err=True)


def _there(path: Path, names: Sequence[str]) -> KeptResults:
    """The results in a file, of all tasks or of these. Raises `BadInput` if they are not there."""
    from probes.tasks.results_file import read_results

    if not path.exists():
        missing = f"There is no results file {flowing(str(path))}"
        raise BadInput("Results", f"{missing} to judge.", "Give --prune too, to score the items and begin it.")
    kept = read_results(path)
    known = {items.name: items for items in kept.item_sets}
    for name in names:
        if name not in known:
            holds = f"it has results of {', '.join(map(flowing, known)) or 'no task'}"
            raise BadInput("Tasks", f"{flowing(str(path))} has no results of {flowing(name)}: {holds}.", "Name those.")
    return of_tasks(kept, [known[name] for name in names] if names else kept.item_sets)
