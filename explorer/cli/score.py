"""`phier score`: long texts in the dense model and one or more second ones, many positions a pass."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, option_names, takes
from explorer.words.defaults import DEFAULT_PRUNE
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, parse
from probes.schema.score import Scores, ScoreSettings
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.system.ranks import own_file
from probes.system.user_folders import expanded


@click.command("score", cls=ShellCommand, configured=True, sharded=True)
@argument(
    "files",
    nargs=-1,
    metavar="FILE…",
    help="Texts: UTF-8 files, JSON Lines files with a field “text”, folders of both.",
)
@takes(PairSpec, without=("prune", "pruned", "overlap"))
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
@option(
    "--save-reference",
    default="",
    metavar="FILE",
    help="Save what the dense model computes into this new file; without --prune and --pruned only that.",
)
@option(
    "--reference-top",
    type=click.IntRange(min=1),
    metavar="K",
    help="Logits that are saved at each position: 6 bytes each (8 if the vocabulary is larger than 65,536). "
    "[default: 512]",
)
@option(
    "--reference",
    default="",
    metavar="FILE",
    help="Score --pruned against a saved reference instead of the dense model; the KL is bounded from both sides.",
)
@option("--json", is_flag=True, help="Print one JSON object instead of tables.")
def score_command(
    typed: Typed,
    files: tuple[str, ...],
    prune: tuple[str, ...],
    pruned: tuple[str, ...],
    results: str,
    save_reference: str,
    reference_top: int | None,
    reference: str,
    json: bool,
) -> None:
    """Score long texts in both models."""
    asked = _Asked(
        files, own_file(_new_file(results, "Results")), _new_file(save_reference, "Reference"), reference_top
    )
    if reference_top and not save_reference:
        typed.refuse(("reference_top",), "without --save-reference", "Leave it out.")
    if results and (save_reference or reference):
        refused = "--save-reference" if save_reference else "--reference"
        message = f"--results has no effect with {refused}, which an interrupted run begins again."
        raise BadInput("Results", message, "Leave it out; --json prints the same object.")
    if reference:
        others = ("dense", "prune", "save_reference", *option_names(CalibrationSpec), *option_names(ScoreSettings))
        typed.refuse(others, "with --reference, which has its own windows and needs no dense model", "Leave it out.")
        if not pruned:
            raise BadInput("Nothing to score", "--reference needs a second model.", "Name one with --pruned.")
        found, warnings = _against(typed, expanded(reference), pruned, files)
    else:
        alone = bool(save_reference) and not prune and not pruned
        specs = [] if alone else second_specs(typed, prune, pruned)
        found, warnings = _together(typed, specs, asked)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.run_loop import tell_notes
    from explorer.cli.score_table import print_scores, scores_object, write_results

    tell_notes(warnings, found.notes)
    if asked.results is not None:
        write_results(found, asked.results)
    if json:
        print_json(scores_object(found))
    elif found.rows:
        print_scores(found, Console())


@dataclass(frozen=True, slots=True)
class _Asked:
    """The texts, and the files to write."""

    files: tuple[str, ...]
    results: Path | None
    reference: Path | None
    top: int | None


def _together(typed: Typed, specs: list[PairSpec], asked: _Asked) -> tuple[Scores, tuple[str, ...]]:
    """Scores the second models beside the dense one, and saves a reference if asked. The scores with warnings."""
    settings = typed.build(ScoreSettings)
    from probes.early import check_early
    from probes.models.spec_check import check_spec
    from probes.tasks.text_files import check_texts

    check_texts(asked.files)
    for spec in specs:
        check_early(spec)
    if not specs:
        typed.refuse(option_names(CalibrationSpec), "without --prune", "Leave it out.")
        check_spec(typed.get("dense", "demo"))
    from rich.console import Console

    from explorer.cli.progress_bar import Bar

    with Bar(Console(stderr=True)) as bar:
        from probes.tasks.reference import TOP, described_reference
        from probes.tasks.scored_models import load_dense, load_scored
        from probes.tasks.scoring import score_texts

        dense = typed.get("dense", "demo")
        models = load_scored(specs, bar.work) if specs else load_dense(dense, typed.build(LoadOptions), bar.work)
        top = asked.top or TOP
        found = score_texts(
            models, asked.files, settings, bar.work, results=asked.results, reference=asked.reference, top=top
        )
        saved = (described_reference(asked.reference),) if asked.reference else ()
    return replace(found, notes=(*found.notes, *saved)), models.warnings


def _against(
    typed: Typed, path: Path, pruned: tuple[str, ...], files: tuple[str, ...]
) -> tuple[Scores, tuple[str, ...]]:
    """Scores models against a reference, one after another, so that one of them is in memory."""
    options = typed.build(LoadOptions)
    from probes.models.placing import check_placing
    from probes.models.spec_check import check_spec
    from probes.tasks.text_files import check_texts

    check_placing(options)
    for name in pruned:
        check_spec(name)
    if files:
        check_texts(files)
    from rich.console import Console

    from explorer.cli.progress_bar import Bar

    found: list[Scores] = []
    warnings: list[str] = []
    with Bar(Console(stderr=True)) as bar:
        from probes.tasks.reference import open_reference
        from probes.tasks.reference_scoring import check_reference, load_alone, score_against

        opened = open_reference(path)
        check_reference(opened, files)
        for name in pruned:
            model = load_alone(name, options, bar.work)
            warnings += model.warnings
            found.append(score_against(opened, model, bar.work))
            del model
    rows = tuple(row for one in found for row in one.rows)
    notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
    return replace(found[0], rows=rows, notes=notes), tuple(warnings)


def _new_file(name: str, title: str) -> Path | None:
    """The file to write; None for "". Raises `BadInput` if it is there already, or its folder is not."""
    if not name:
        return None
    path = expanded(name)
    if os.path.exists(path) or not os.path.isdir(path.parent):
        why = "is there already" if os.path.exists(path) else "is in a folder that does not exist"
        raise BadInput(title, f"{name} {why}.", "Name a new file.")
    return path


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
