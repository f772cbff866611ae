"""`phier prompt`: what the models would read, token by token. It loads the tokenizer alone."""

from __future__ import annotations

import click

from explorer.cli.options import ShellCommand, Typed, option, takes
from explorer.cli.read_options import run_settings
from probes.schema.prompt_source import PromptSource
from probes.schema.settings import RunSettings
from probes.schema.spec import LoadOptions, PairSpec

_RENDERED = ("prompt", "raw", "follow", "text", "chat_template", "turn", "begun", "template_arg")
"""The settings of a run that the models read."""


@click.command("prompt", cls=ShellCommand, configured=True)
@takes(PairSpec, only=("dense", "trust_remote_code"))
@takes(RunSettings, only=_RENDERED)
@takes(PromptSource)
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def prompt_command(typed: Typed, json: bool) -> None:
    """Print a prompt as the models read it, token by token.

    It loads the tokenizer and no weights.
    """
    settings, spec = run_settings(typed), typed.get("dense", "demo")
    from probes.models.spec_check import check_spec

    check_spec(spec)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.prompt_table import print_rendered, rendered_object
    from explorer.cli.run_loop import tell_notes

    with Bar(Console(stderr=True)) as bar:
        from probes.models.rendering import load_tokenizer, render_prompt

        options = LoadOptions(trust_remote_code=typed.get("trust_remote_code", False))
        found = render_prompt(load_tokenizer(spec, options, bar.work), settings)
    tell_notes(found.warnings, found.notes)
    if json:
        print_json(rendered_object(found))
    else:
        print_rendered(found, Console())
