"""`phier doctor`: what a bug report needs, what is wrong in the config file, and how the caches are emptied."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from explorer.cli.options import ShellCommand, Typed, option
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_LABEL = 18
"""Cells of the names on the left."""


@click.command("doctor", cls=ShellCommand)
@option("--quick", is_flag=True, help="Leave out what the models compute on, for which torch must be imported.")
@option("--json", is_flag=True, help="Print one JSON object instead of text.")
@option(
    "--empty-caches", is_flag=True, help="Empty the program's own caches. Recordings and settings are never removed."
)
@option("--yes", is_flag=True, help="--empty-caches: do not ask.")
def doctor_command(typed: Typed, quick: bool, json: bool, empty_caches: bool, yes: bool) -> None:
    """Show versions, folders, caches and devices, for bug reports."""
    if empty_caches:
        if quick or json:
            raise BadInput("Doctor", "--empty-caches prints no report.", "Leave out --quick and --json.")
        _empty(yes)
        return
    typed.refuse(("yes",), "without --empty-caches", "Leave it out.")
    from explorer.cli import doctor_report as report
    from explorer.config.config_file import read_config

    config = read_config()
    faults = list(config.faults)
    if config.keys:
        from explorer.ui.keymap import key_faults

        faults += key_faults(config)
    sections: dict[str, Callable[[], report.Section]] = {
        "program": report.program_section,
        "machine": report.machine_section,
        "terminal": lambda: report.terminal_section(config),
        "folders": lambda: report.folder_section(config),
        "caches": lambda: report.cache_sections()[0],
    }
    if not quick:
        sections["computing"] = report.computing_section
    if json:
        from explorer.cli.live_table import print_json

        made = {name: make() for name, make in sections.items()}
        print_json({**made, "config_faults": [str(fault) for fault in faults]})
        return
    for name, make in sections.items():
        click.echo(name)
        for label, value in make().items():
            click.echo(f"  {label:<{_LABEL}} {value}")
        if name == "folders":
            for fault in faults:
                click.echo(f"  {'':<{_LABEL}} {fault}")
        sys.stdout.flush()


def can_ask() -> bool:
    """Is there a person at the keyboard?"""
    return sys.stdin.isatty()


def _empty(yes: bool) -> None:
    from explorer.cli.doctor_report import cache_sections, in_bytes
    from probes.system.caches import CACHES, empty_cache
    from probes.system.user_folders import cache_folder, shortened

    found, total = cache_sections()
    folder = visible(shortened(cache_folder()))
    if not any(cache.entries() for cache in CACHES):
        click.echo(f"The caches in {folder} are empty.")
        return
    if not yes:
        if not can_ask():
            message = f"The caches in {folder} hold {in_bytes(total)}, and nobody can be asked here."
            raise BadInput("Caches", message, "Give --yes to remove that.")
        for cache in CACHES:
            click.echo(f"  {cache.name:<12} {found[cache.name]}")
        click.confirm(f"Remove these {in_bytes(total)} from {folder}? All can be made or downloaded again", abort=True)
    left = 0
    for cache in CACHES:
        done = empty_cache(cache)
        left += done.left
        if done.removed:
            click.echo(f"{cache.name}: {done.removed} removed, {in_bytes(done.bytes)}")
        if done.left:
            click.echo(f"{cache.name}: {done.left} left, as another program is using them or they can't be removed")
    if left:
        raise click.exceptions.Exit(1)
