"""The commands on pruned folders: `phier prune` makes one, `phier inspect` reports what one lacks."""

from __future__ import annotations

from dataclasses import replace

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import pair_spec
from probes.schema.spec import LoadOptions, OverlapMode, PairSpec
from probes.system.user_folders import expanded


@click.command("prune", cls=ShellCommand, configured=True)
@takes(PairSpec, without=("pruned", "device_map", "overlap"), required=("prune",), aliases={"prune_seed": ("seed",)})
@option("--out", required=True, metavar="FOLDER", help="The folder to write; new or empty.")
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def prune_command(typed: Typed, out: str, json: bool) -> None:
    """Prune a model and save it as a folder that transformers loads."""
    spec, folder = pair_spec(typed), expanded(out)
    from probes.early import check_early
    from probes.system.free_folder import check_free

    check_free(folder)
    check_early(spec)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.prune_table import print_saved, saved_object
    from explorer.cli.run_loop import tell_notes

    with Bar(Console(stderr=True)) as bar:
        from probes.pair import load_pair

        pair = load_pair(replace(spec, overlap=OverlapMode.NONE), bar.work)
        saved = pair.save(folder, bar.work)
    tell_notes(pair.every_warning, pair.every_note)
    if json:
        print_json(saved_object(saved))
    else:
        print_saved(saved, Console())


@click.command("inspect", cls=ShellCommand, configured=True)
@argument("folder", metavar="FOLDER", help="A folder, or any model that --dense takes.")
@takes(LoadOptions, without=("device_map", "threads"))
@option("--against", default="", help="The dense model to compare it with.")
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def inspect_command(typed: Typed, folder: str, against: str, json: bool) -> None:
    """Report zeros, N:M patterns and dropped layers of a model."""
    from probes.models.placing import check_placing
    from probes.models.spec_check import check_spec

    options = typed.build(LoadOptions)
    check_placing(options)
    for spec in filter(None, (folder, against)):
        check_spec(spec)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.prune_table import inspected_object, print_inspected

    with Bar(Console(stderr=True)) as bar:
        from probes.checkpoints.inspect import inspect

        found = inspect(folder, against, options, bar.work)
    if json:
        print_json(inspected_object(found))
    else:
        print_inspected(found, Console())
