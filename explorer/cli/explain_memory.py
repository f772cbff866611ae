"""The tables of `phier explain` on caches and forks: each with its figures, then in a sentence."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from explorer.cli.live_table import padded, printable
from explorer.words.blame import blame_sentence, fork_sentence, memory_sentence
from explorer.words.token_text import fit
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.quadrants import Quadrants

_SHOWN = 5
"""Positions in the table; the JSON has all that were restored."""


def print_quadrants(found: Quadrants, console: Console) -> None:
    """Either model's weights on either model's cache, and the positions that hold most of the damage."""
    _line(console, f"  {'KL':<16} {'dense cache':>12} {'pruned cache':>13}", "bold")
    for weights, kls in (
        ("dense weights", (found.control, found.pruned_cache)),
        ("pruned weights", (found.pruned_weights, found.both)),
    ):
        _line(console, f"  {weights:<16} {padded(kls[0], '12.4g')} {padded(kls[1], '13.4g')}")
    _line(console, blame_sentence(found))
    if sentence := memory_sentence(found):
        _line(console, f"\n  {'position':<9} {'token':<14} {'KL drop':>9} {'KL after':>9}", "bold")
        for one in found.positions[:_SHOWN]:
            drops = f"{padded(one.kl_drop, '9.3g')} {padded(one.kl_after, '9.3g')}"
            _line(console, f"  {one.position:<9} {fit(printable(one.token), 14)} {drops}")
        _line(console, sentence)
    console.print()


def print_fork(found: ForkVerdict, console: Console) -> None:
    """The text that either model writes after the other one's token."""
    console.print()
    _line(console, f"  {'forced into':<12} {'verdict':<10} {'agree':>7} {'KL':>8} {'KL at end':>9}  text", "bold")
    runs = (("pruned", found.dense_into_pruned), ("dense", found.pruned_into_dense))
    for name, run in runs:
        figures = f"{run.agree_rate:7.1%} {padded(run.kl, '8.3g')} {padded(run.kl_last, '9.3g')}"
        _line(console, f"  {name:<12} {run.verdict.value:<10} {figures}  {printable(run.text)}")
    for name, run in runs:
        _line(console, fork_sentence(run, into_pruned=name == "pruned"))


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)
