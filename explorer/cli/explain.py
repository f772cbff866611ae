"""`phier explain`: which sublayers a token broke in, at one step or over a span of steps."""

from __future__ import annotations

import re

import click

from explorer.cli.options import ShellCommand, Typed, option, records, takes
from explorer.cli.read_options import pair_spec, run_settings
from explorer.cli.steps_asked import reached, steps_asked
from probes.schema.errors import BadInput
from probes.schema.fork_verdict import FOLLOWED
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded


@click.command("explain", cls=ShellCommand)
@takes(PairSpec)
@takes(RunSettings)
@option("--at", type=int, metavar="STEP", section="Run", help="The step to explain. [default: the first split]")
@option("--span", default="", metavar="A:B", section="Run", help="Explain steps A to B together.")
@option(
    "--inside",
    default="",
    metavar="SUBLAYER",
    section="Run",
    help="Also exchange the matrices and heads of a sublayer (attn 7), of the one that heals most (worst), or all.",
)
@option(
    "--fork-steps",
    type=click.IntRange(min=1),
    metavar="N",
    section="Run",
    help=f"Steps to follow each model after the other's token was forced into it. [default: {FOLLOWED}]",
)
@records("nothing is recorded")
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def explain_command(
    typed: Typed, at: int | None, span: str, inside: str, fork_steps: int | None, record_to: str, json: bool
) -> None:
    """Show which layers changed a token, and what heals it."""
    settings, steps = run_settings(typed), steps_asked(at, span)
    if span and fork_steps:
        raise BadInput("Forks", "--fork-steps has no effect with --span: forks are of one step.", "Leave it out.")
    if steps:
        typed.refuse(("steps",), "with --at or --span, which say how far to step", "Leave it out.")
    if settings.sampling.greedy:
        typed.refuse(("top_k", "top_p"), "at temperature 0", "Give --temperature too, or leave it out.")
    _check_inside(inside)
    spec = pair_spec(typed)
    from probes.early import check_early

    check_early(spec)
    from rich.console import Console

    from explorer.cli.explain_table import explained_object, print_explained
    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import explained_run, recorded, tell_notes

    with recorded(expanded(record_to) if record_to else None) as record, Bar(Console(stderr=True)) as bar:
        from probes.explain.step import explain
        from probes.pair import load_pair

        pair = load_pair(spec, bar.work)
        prompt = pair.prompt(settings)
        header = pair.header(settings, prompt)
        with pair.lockstep(settings, prompt) as lockstep:
            steps = reached(lockstep, steps)
            found = explain(
                lockstep,
                steps,
                inside=inside,
                followed=fork_steps or FOLLOWED,
                mark=pair.dense.info.fingerprint,
                work=bar.work,
            )
            path = tuple(lockstep.path)
        for event in explained_run(header, path, steps, found.found.values(), found.notes, pieces=found.pieces):
            record(event)
    tell_notes(header.every_warning, (*header.every_note, *found.notes))
    if json:
        print_json(explained_object(found, path, header))
    else:
        print_explained(found, path, header, Console())


def _check_inside(inside: str) -> None:
    if inside not in ("", "worst", "all") and re.fullmatch(r"(attn|mlp) [0-9]{1,9}", inside) is None:
        raise BadInput("Inside", f"{inside!r} is no sublayer.", "Write for example 'attn 7', 'mlp 3', worst or all.")
