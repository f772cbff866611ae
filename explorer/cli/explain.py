"""`phier explain`: which sublayers a token broke in, at one step or over a span of steps."""

from __future__ import annotations

import re

import click

from explorer.cli.options import ShellCommand, Typed, option, records, takes
from explorer.cli.read_options import pair_spec
from explorer.cli.stepped_pair import settings_and_steps, stepped_pair
from probes.schema.errors import BadInput
from probes.schema.fork_verdict import FOLLOWED
from probes.schema.prompt_source import PromptSource
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec


@click.command("explain", cls=ShellCommand, configured=True)
@takes(PairSpec)
@takes(RunSettings)
@takes(PromptSource)
@option("--at", type=int, metavar="STEP", help="The step to explain. [default: the first split]")
@option("--span", default="", metavar="A:B", help="Explain steps A to B together.")
@option(
    "--inside",
    default="",
    metavar="SUBLAYER",
    help="Also exchange the matrices and heads of a sublayer (attn 7), of the one that heals most (worst), or all.",
)
@option(
    "--fork-steps",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Steps to follow each model after the other's token was forced into it. [default: {FOLLOWED}]",
)
@records("nothing is recorded")
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def explain_command(
    typed: Typed, at: int | None, span: str, inside: str, fork_steps: int | None, record_to: str, json: bool
) -> None:
    """Show which layers changed a token, and what heals it."""
    settings, steps = settings_and_steps(typed, at, span)
    if span and fork_steps:
        raise BadInput("Forks", "--fork-steps has no effect with --span: forks are of one step.", "Leave it out.")
    _check_inside(inside)
    with stepped_pair(pair_spec(typed), settings, steps, record_to) as stepped:
        from explorer.cli.run_loop import explained_run
        from probes.explain.step import explain

        found = explain(
            stepped.lockstep,
            stepped.steps,
            inside=inside,
            followed=fork_steps or FOLLOWED,
            mark=stepped.pair.dense.info.fingerprint,
            work=stepped.work,
        )
        header, path = stepped.header, tuple(stepped.lockstep.path)
        for event in explained_run(header, path, stepped.steps, found.found.values(), found.notes, pieces=found.pieces):
            stepped.record(event)
    from rich.console import Console

    from explorer.cli.explain_table import explained_object, print_explained
    from explorer.cli.live_table import print_json
    from explorer.cli.run_loop import tell_notes

    tell_notes(header.every_warning, (*header.every_note, *found.notes))
    if json:
        print_json(explained_object(found, path, header))
    else:
        print_explained(found, path, header, Console())


def _check_inside(inside: str) -> None:
    if inside not in ("", "worst", "all") and re.fullmatch(r"(attn|mlp) [0-9]{1,9}", inside) is None:
        raise BadInput("Inside", f"{inside!r} is no sublayer.", "Write for example 'attn 7', 'mlp 3', worst or all.")
