"""`phier score`: long texts in the dense model and one or more second ones, many positions a pass."""

from __future__ import annotations

import os

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, option_names, takes
from explorer.words.defaults import DEFAULT_PRUNE
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, parse
from probes.schema.score import ScoreSettings
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.system.user_folders import expanded


@click.command("score", cls=ShellCommand)
@argument(
    "files",
    nargs=-1,
    metavar="FILE…",
    help="Texts: UTF-8 files, JSON Lines files with a field “text”, folders of both.",
)
@takes(PairSpec, without=("prune", "pruned"))
@option(
    "--prune",
    multiple=True,
    section="Models",
    help=f"A setting to score; may be repeated: the dense model reads once. [default: {DEFAULT_PRUNE}]",
)
@option(
    "--pruned", multiple=True, section="Models", help="A second model, which was pruned elsewhere; may be repeated."
)
@takes(ScoreSettings)
@option(
    "--results",
    default="",
    metavar="FILE",
    help="Write the results into this new file, as JSON. An interrupted run of the same command goes on.",
)
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def score_command(
    typed: Typed, files: tuple[str, ...], prune: tuple[str, ...], pruned: tuple[str, ...], results: str, json: bool
) -> None:
    """Score long texts in both models."""
    settings = typed.build(ScoreSettings)
    specs = second_specs(typed, prune, pruned)
    path = expanded(results) if results else None
    if path is not None and (os.path.exists(path) or not os.path.isdir(path.parent)):
        why = "is there already" if os.path.exists(path) else "is in a folder that does not exist"
        raise BadInput("Results", f"{results} {why}.", "Name a new file.")
    from probes.early import check_early
    from probes.tasks.text_files import check_texts

    check_texts(files)
    for spec in specs:
        check_early(spec)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import tell_notes
    from explorer.cli.score_table import print_scores, scores_object, write_results

    with Bar(Console(stderr=True)) as bar:
        from probes.tasks.scored_models import load_scored
        from probes.tasks.scoring import score_texts

        models = load_scored(specs, bar.work)
        found = score_texts(models, files, settings, bar.work, results=path)
    tell_notes(models.warnings, found.notes)
    if path is not None:
        write_results(found, path)
    if json:
        print_json(scores_object(found))
    else:
        print_scores(found, Console())


def second_specs(typed: Typed, prune: tuple[str, ...], pruned: tuple[str, ...]) -> list[PairSpec]:
    """The second models and settings, each with the dense model. Raises `BadInput` for options without effect."""
    settings = [parse(text) for text in prune or (() if pruned else (DEFAULT_PRUNE,))]
    parts = [part for setting in settings for part in setting.parts]
    if not any(part.calibrated for part in parts):
        seeded = any(part.method is Method.RANDOM for part in parts)
        names = [name for name in option_names(CalibrationSpec) if name != "prune_seed" or not seeded]
        why = "on settings that are not calibrated" if settings else "without --prune"
        typed.refuse(names, why, "Leave it out, or choose a calibrated method such as wanda.")
    made = [typed.build(PairSpec, prune=setting, pruned="") for setting in settings]
    return [*made, *(typed.build(PairSpec, prune=None, pruned=name) for name in pruned)]
