"""The programs `phier` (commands in the shell) and `phier-tui` (the explorer). Nothing here imports torch."""

from __future__ import annotations

import click

from explorer.cli.bench import measure_cost
from explorer.cli.explore import explore
from explorer.cli.options import Program, print_version
from explorer.cli.prune import inspect_model, save_pruned
from explorer.cli.recordings import compare_recordings, export_recordings, list_recordings
from explorer.cli.run import run_models

COMMANDS = (
    run_models,
    save_pruned,
    inspect_model,
    list_recordings,
    compare_recordings,
    export_recordings,
    measure_cost,
)


@click.group(cls=Program, no_args_is_help=True)
@print_version
def phier() -> None:
    """Compare a dense and a pruned language model, token by token."""


for _command in COMMANDS:
    phier.add_command(_command)
phier_tui = explore
