"""`phier tasks`: the figures of tasks in both models, item by item if asked for."""

from __future__ import annotations

from dataclasses import asdict

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import pair_spec
from explorer.cli.scored_tasks import scored_tasks, scores_tasks, tasks_asked
from probes.schema.spec import PairSpec
from probes.schema.task_options import TaskOptions
from probes.system.ranks import own_file
from probes.system.user_folders import expanded


@click.command("tasks", cls=ShellCommand, configured=True, sharded=True)
@argument("names", nargs=-1, help="Tasks that ship, files of items, or data sets of the hub. [default: all that ship]")
@takes(PairSpec)
@scores_tasks
@option("--items", "list_items", is_flag=True, help="List every item, too.")
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def tasks_command(
    typed: Typed, names: tuple[str, ...], results: str, list_items: bool, json: bool, **_of_typed: object
) -> None:
    """Score the items of tasks in both models."""
    asked, options = tasks_asked(typed, names), typed.build(TaskOptions)
    kept = scored_tasks(pair_spec(typed), asked, options, own_file(expanded(results) if results else None))
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.tasks_table import print_tasks
    from explorer.cli.verdict_table import verdict_object
    from probes.tasks.judge import judge

    verdict = judge(kept.found, kept.item_sets)
    if json:
        more = {"items": [asdict(one) for one in kept.results]} if list_items else {}
        print_json(verdict_object(verdict, made_with=asdict(kept.header), **more))
    else:
        print_tasks(verdict, kept.item_sets, kept.results if list_items else (), Console())
        for note in verdict.notes:
            click.echo(note, err=True)
