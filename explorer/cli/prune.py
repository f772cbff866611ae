"""The commands on pruned folders: `phier prune` makes one, `phier inspect` says what one holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli import options as o
from explorer.cli.exits import exit_on_error
from explorer.cli.given import refuse_empty, refuse_idle_calibration
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(prune)
    app.command()(inspect)


def prune(
    context: typer.Context,
    setting: Annotated[
        str, typer.Option("--prune", help="What to remove: METHOD:AMOUNT[@TARGETS], joined by +.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; new or empty.", show_default=False)],
    dense: o.Dense = "demo",
    calibration: o.CalibrationText = "",
    samples: o.Samples = 0,
    length: o.Length = 0,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Takes calibration windows at random, and draws what is random, by it.")
    ] = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    threads: o.Threads = 0,
    json: Json = False,
) -> None:
    """Prunes a model, saves it as a plain folder, and prints what was measured in it."""
    with exit_on_error():
        refuse_empty(context)
        wanted = PairSpec(
            dense=dense,
            prune=parse(setting),
            calibration=CalibrationSpec(calibration, samples, length, seed),
            load=LoadOptions(device, dtype, "", trust_remote_code, allow_pickle, threads),
        )
        refuse_idle_calibration(context, wanted.prune, "seed")
        from probes.early import check_early
        from probes.system.free_folder import check_free

        check_free(out)
        check_early(wanted)
        from rich.console import Console

        from explorer.cli.live_table import print_json
        from explorer.cli.progress_bar import Bar
        from explorer.cli.prune_table import print_saved, saved_object
        from explorer.cli.run_loop import tell_notes

        with Bar(Console(stderr=True)) as bar:
            from probes.pair import load_pair

            pair = load_pair(wanted, bar.work)
            saved = pair.save(out, bar.work)
        tell_notes(pair.every_warning, pair.every_note)
        if json:
            print_json(saved_object(saved))
        else:
            print_saved(saved, Console())


def inspect(
    context: typer.Context,
    folder: Annotated[
        str, typer.Argument(help="A folder, or any model that --dense takes.", show_default=False, metavar="FOLDER")
    ],
    against: Annotated[str, typer.Option("--against", help="The dense model to hold it against.")] = "",
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    json: Json = False,
) -> None:
    """Reports what a model really lacks: zeros, N:M patterns, drops, and tensors that differ from a dense model's."""
    with exit_on_error():
        refuse_empty(context)
        from probes.models.placing import check_placing
        from probes.models.spec_check import check_spec

        options = LoadOptions(device, dtype, "", trust_remote_code, allow_pickle)
        check_placing(options)
        for spec in filter(None, (folder, against)):
            check_spec(spec)
        from rich.console import Console

        from explorer.cli.live_table import print_json
        from explorer.cli.progress_bar import Bar
        from explorer.cli.prune_table import inspected_object, print_inspected

        with Bar(Console(stderr=True)) as bar:
            from probes.checkpoints.inspect import inspect as inspected

            found = inspected(folder, against, options, bar.work)
        if json:
            print_json(inspected_object(found))
        else:
            print_inspected(found, Console())
