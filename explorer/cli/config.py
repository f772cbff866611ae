"""`phier config`: where the config file is and what it sets; an example of it."""

from __future__ import annotations

import click

from explorer.cli.options import ShellCommand, Typed, option
from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import visible


@click.command("config", cls=ShellCommand)
@option("--example", is_flag=True, help="Print an example with every option and key, all of them commented out.")
@option("--write", is_flag=True, help="Write the example into the place of the config file, if there is none yet.")
def config_command(_typed: Typed, example: bool, write: bool) -> None:
    """Show what the config file sets, or write an example of one."""
    from explorer.config.config_file import KEY_SECTION, read_config
    from probes.system.user_folders import shortened

    if example and write:
        raise BadInput("Config file", "--example and --write are two things.", "Give one of them.")
    if example:
        click.echo(_example(), nl=False)
        return
    found = read_config()
    shown = visible(shortened(found.path))
    if write:
        if found.exists:
            raise BadInput("Config file", f"{shown} is there already.", "Edit it; `phier config --example` prints one.")
        from probes.system.files import replace_file

        try:
            replace_file(found.path, _example())
        except OSError as problem:
            message = f"{shown} could not be written ({problem.strerror})."
            raise Failure("Can't write", message, "Free some space, or set PHIER_CONFIG.") from problem
        click.echo(f"{shown} is written. Take the # away from what you want to set.")
        return
    if not found.exists:
        click.echo(f"There is no {shown}. `phier config --write` writes an example there.")
        return
    click.echo(f"{shown}" if found.values or found.keys or found.faults else f"{shown} sets nothing.")
    for name, value in found.values.items():
        click.echo(f"  {name.replace('_', '-')} = {visible(str(value), 200)}")
    for name, key in found.keys.items():
        click.echo(f"  {KEY_SECTION}: {visible(name, 60)} = {visible(key, 60)}")
    found.checked()
    if found.keys:
        from explorer.ui.keymap import chosen_keys

        chosen_keys(found)


def _example() -> str:
    from explorer.config.example import example_config
    from explorer.ui.keymap import every_command

    return example_config(every_command())
