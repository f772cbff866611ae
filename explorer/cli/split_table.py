"""The tables of `phier explain` about a split, and about the noise floor of the pair."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from explorer.cli.live_table import padded, printable
from explorer.words.culprits import split_kind, split_thresholds
from explorer.words.noise import noise_sentence, skipped_sentence
from explorer.words.split import formats_sentence, margin_part_name, movers_sentence, parts_by_change
from explorer.words.token_text import fit
from probes.schema.noise_floor import MARGIN, NUMBER_FORMATS, Noise, NoiseFloor
from probes.schema.split_anatomy import SplitAnatomy

_MOST = 12
"""Parts in the table."""
_NOISE = (("h.angle", "angle of h"), ("z.max_abs", "max |Δz|"), ("p.tv", "TV"), ("p.kl", "KL"), (MARGIN, "margin"))


def print_split(split: SplitAnatomy, floor: NoiseFloor | None, console: Console) -> None:
    """The verdict, the two tokens, and the parts that moved them most."""
    _line(console, split_kind(split), "bold")
    beside = formats_sentence(split, floor) if floor else ""
    for sentence in filter(None, (movers_sentence(split), beside, split_thresholds(split), *split.notes)):
        _line(console, sentence)
    _line(console, f"\n  {'token':<14} {'p':>8} {'q':>8} {'z':>8} {'z pruned':>8} {'rank':>5} {'pruned':>6}", "bold")
    for one in (split.a, split.b):
        figures = f"{padded(one.p, '8.3g')} {padded(one.q, '8.3g')} {one.z_dense:8.3f} {one.z_pruned:8.3f}"
        _line(console, f"  {fit(printable(one.token), 14)} {figures} {one.rank_dense:5} {one.rank_pruned:6}")
    for name, dense, pruned in (
        ("margin", split.margin_dense, split.margin_pruned),
        ("entropy", split.entropy_dense, split.entropy_pruned),
    ):
        _line(console, f"  {name:<14} {padded(dense, '8.3g')} {padded(pruned, '8.3g')}")
    if split.parts:
        _line(console, f"\n  {'moved by':<9} {'dense':>9} {'pruned':>9} {'change':>9}", "bold")
        ordered = parts_by_change(split)
        for part in ordered[:_MOST]:
            _parted(console, margin_part_name(part), part.dense, part.pruned)
        rest = ordered[_MOST:]
        if rest:
            _parted(console, f"{len(rest)} more", sum(p.dense for p in rest), sum(p.pruned for p in rest))
        _parted(console, "all", sum(p.dense for p in ordered), sum(p.pruned for p in ordered))
    console.print()


def print_noise(floor: NoiseFloor, console: Console) -> None:
    """What an identical pair gives, one row a cause."""
    console.print()
    _line(console, noise_sentence(floor))
    _line(console, f"  {'cause':<16} " + " ".join(f"{label:>10}" for _, label in _NOISE), "bold")
    formats = [row for row in floor.rows if row.cause in NUMBER_FORMATS]
    for row in floor.rows:
        if row not in formats:
            _noise(console, row)
    if formats:
        _line(console, "  another number format, which is no part of the floor", "dim")
    for row in formats:
        _noise(console, row)
    for cause, reason in floor.skipped.items():
        _line(console, skipped_sentence(cause, reason), "dim")


def _noise(console: Console, row: Noise) -> None:
    figures = " ".join(padded(row.largest.get(key), "10.2g") for key, _ in _NOISE)
    _line(console, f"  {row.cause:<16} {figures}")


def _parted(console: Console, name: str, dense: float, pruned: float) -> None:
    _line(console, f"  {name:<9} {dense:9.3f} {pruned:9.3f} {pruned - dense:+9.3f}")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)
