"""`phier search`: the passages or prompts at which the two models differ most."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import get_args

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import pair_spec
from probes.schema.passages import Order
from probes.schema.spec import OverlapMode, PairSpec


@click.command("search", cls=ShellCommand, configured=True)
@argument(
    "where",
    help="A UTF-8 file, a JSON Lines file with a field “text”, a folder of both, or a set of items that ships, "
    "whose questions are then read as bare texts (for the answers: phier tasks).",
)
@takes(PairSpec, without=("overlap",))
@option(
    "--by",
    type=click.Choice([name.replace("_", "-") for name in get_args(Order)]),
    default="mean-kl",
    help="List the passages with the largest mean KL, the largest KL of a token, the earliest split, the largest mean "
    "change of the text's probabilities, or the largest fall of the dense model's top token. [default: mean-kl]",
)
@option("--most", type=click.IntRange(min=1), default=20, metavar="N", help="List so many passages. [default: 20]")
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def search_command(typed: Typed, where: str, by: str, most: int, json: bool) -> None:
    """Find the passages at which the models differ most."""
    spec = pair_spec(typed)
    order: Order = next(name for name in get_args(Order) if name == by.replace("-", "_"))
    from probes.early import check_early
    from probes.tasks.item_files import shipped_names
    from probes.tasks.text_files import check_texts

    if where not in shipped_names():
        check_texts([where])
    check_early(spec)
    from rich.console import Console

    from explorer.cli.live_table import print_json
    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import tell_notes
    from explorer.cli.search_table import found_object, print_found
    from explorer.sources.command_line import command_line

    with Bar(Console(stderr=True)) as bar:
        from probes.pair import load_pair
        from probes.tasks.passages import find_passages

        pair = load_pair(replace(spec, overlap=OverlapMode.NONE), bar.work)
        (found,) = deque(find_passages(pair, where, order, most, bar.work), maxlen=1)
    commands = [command_line(pair.header(one.run, pair.prompt(one.run))) for one in found.rows]
    tell_notes(pair.every_warning, found.notes)
    if json:
        print_json(found_object(found, commands))
    else:
        print_found(found, commands, Console())
