"""`phier run`: both models are stepped without the explorer."""

from __future__ import annotations

import click

from explorer.cli.options import ShellCommand, Typed, option, records, takes
from explorer.cli.read_options import pair_spec, run_settings
from probes.schema.prompt_source import PromptSource
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.schema.until import UNTIL_GRAMMAR, check_watched, parse_until
from probes.system.ranks import own_file
from probes.system.user_folders import expanded


@click.command("run", cls=ShellCommand, configured=True, sharded=True)
@takes(PairSpec)
@takes(RunSettings)
@takes(PromptSource)
@option(
    "--until", multiple=True, section="Run", help=f"Stop when a condition is met; may be repeated: {UNTIL_GRAMMAR}."
)
@records("nothing is recorded")
@option("--json", is_flag=True, help="Print one JSON object per step, then one with the summary.")
def run_command(typed: Typed, until: tuple[str, ...], record_to: str, json: bool) -> None:
    """Step both models and print one row per step."""
    settings = run_settings(typed)
    for condition in until:
        check_watched(parse_until(condition), len(settings.watch))
    if settings.sampling.greedy:
        typed.refuse(("top_k", "top_p"), "at temperature 0", "Give --temperature too, or leave it out.")
    spec = pair_spec(typed)
    from probes.early import check_early

    check_early(spec)
    from rich.console import Console

    from explorer.cli.live_table import JsonLines, LiveTable
    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import events, recorded, tell_notes, tell_notice

    show = JsonLines() if json else LiveTable(Console())
    with recorded(own_file(expanded(record_to) if record_to else None, new=True)) as record:
        with Bar(Console(stderr=True)) as bar:
            from probes.pair import load_pair

            pair = load_pair(spec, bar.work)
        prompt = pair.prompt(settings)
        header = pair.header(settings, prompt)
        tell_notes(header.every_warning, header.every_note)
        with pair.lockstep(settings, prompt) as lockstep:
            for event in events(lockstep, header, until):
                record(event)
                tell_notice(event)
                show(event)
