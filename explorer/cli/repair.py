"""`phier repair`: the smallest set of sublayers, matrices or weights to give back, as a prune setting."""

from __future__ import annotations

import os
import re
from typing import get_args

import click

from explorer.cli.options import ShellCommand, Typed, option, records, takes
from explorer.cli.read_options import pair_spec
from explorer.cli.stepped_pair import settings_and_steps, stepped_pair
from probes.schema.errors import BadInput
from probes.schema.prompt_source import PromptSource
from probes.schema.repair import RepairGoal, RepairLevel
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded

_LIKE_A_FILE = re.compile(r"\S*[/\\]\S*|.*\.(txt|text|md|rst|json|jsonl|csv|tsv|html)", re.IGNORECASE | re.DOTALL)
"""A name of a file rather than a prompt: it ends as a text file does, or it has a slash and no space."""


@click.command("repair", cls=ShellCommand, configured=True)
@takes(PairSpec)
@takes(RunSettings)
@takes(PromptSource)
@option("--at", type=int, metavar="STEP", help="The step to repair. [default: the first split]")
@option("--span", default="", metavar="A:B", help="Repair steps A to B together.")
@option("--target-kl", type=float, metavar="X", help="Give back until the mean KL over the steps is at most X nats.")
@option("--target-agreement", type=float, metavar="X", help="Until this share of the steps has the same top token.")
@option(
    "--until-no-split", is_flag=True, help="Until no step up to the first split differs. [default without a target]"
)
@option("--budget", type=int, metavar="P", help="Give back at most P pruned parameters; alone: the lowest KL within.")
@option(
    "--level",
    type=click.Choice(get_args(RepairLevel)),
    default="sublayer",
    help="What is given back. [default: sublayer]",
)
@option(
    "--held-out",
    default="",
    metavar="TEXT|FILE",
    help="Measure the repair on the steps after this prompt too. [default: on the steps after the span]",
)
@option("--out", default="", metavar="FILE", help="The file that restored weights are chosen by (--level weight).")
@records("nothing is recorded")
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def repair_command(
    typed: Typed,
    at: int | None,
    span: str,
    target_kl: float | None,
    target_agreement: float | None,
    until_no_split: bool,
    budget: int | None,
    level: RepairLevel,
    held_out: str,
    out: str,
    record_to: str,
    json: bool,
) -> None:
    """Find the smallest set to give back, and its gain."""
    settings, steps = settings_and_steps(typed, at, span)
    goal = RepairGoal(target_kl, target_agreement, until_no_split, budget)
    if level != "weight":
        typed.refuse(("out",), f"with --level {level}", "Leave it out, or add --level weight.")
    spec = pair_spec(typed)
    if spec.prune is None:
        raise BadInput("Nothing to repair", f"{spec.pruned} is not pruned here.", "Give a setting with --prune.")
    other = _held_out(held_out)
    with stepped_pair(spec, settings, steps, record_to) as stepped:
        from explorer.cli.run_loop import explained_run
        from probes.explain.repair import repair

        steps, header = stepped.steps, stepped.header
        found = repair(
            stepped.pair, stepped.lockstep, steps, goal, level=level, held_out=other, out=out, work=stepped.work
        )
        path = tuple(stepped.lockstep.path)
        for event in explained_run(header, path, steps, [found], found.notes, repaired=level):
            stepped.record(event)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.repair_table import print_repaired, repaired_object
    from explorer.cli.run_loop import tell_notes

    tell_notes(header.every_warning, (*header.every_note, *found.notes))
    if json:
        print_json(repaired_object(found, steps, header))
    else:
        print_repaired(found, steps, header, Console())


def _held_out(given: str) -> str:
    """The second prompt: a file's text if there is such a file, else what was typed. Raises `BadInput`."""
    if not given:
        return given
    path = expanded(given)
    if os.path.isdir(path):
        raise BadInput("Held-out text", f"{given} is a folder.", "Give a text, or name a text file.")
    if not os.path.isfile(path):
        if not given.strip():
            raise BadInput("Held-out text", "The text is empty.", "Give a text, or name a text file.")
        if not _LIKE_A_FILE.fullmatch(given.lstrip()):
            return given
        if given == given.lstrip():
            hint = "Name a file that is there. To give this as a prompt, begin it with a space."
            raise BadInput("Held-out text", f"There is no file {given}.", hint)
        return given.lstrip()
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise BadInput("Held-out text", f"{given} can't be read: {reason}.", "Name a text file.") from None
    if not text.strip():
        raise BadInput("Held-out text", f"{given} is empty.", "Name a file with a prompt.")
    return text
