"""The output of `phier explain`: tables by sublayer for people, one object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from explorer.cli.explain_memory import print_fork, print_quadrants
from explorer.cli.live_table import padded, printable
from explorer.cli.split_table import print_noise, print_split
from explorer.words.token_text import fit
from probes.schema.explanation import LayerFigures, LensToken, Swap, Swaps
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.header import RunHeader
from probes.schema.quadrants import Quadrants
from probes.schema.record import Choice, StepRecord

if TYPE_CHECKING:
    from probes.explain.step import Explanation


def explained_object(found: Explanation, path: Sequence[StepRecord], header: RunHeader) -> dict[str, Any]:
    """For `phier explain --json`."""
    first, last = found.steps
    made: dict[str, Any] = {"at": first} if first == last else {"span": [first, last]}
    if found.layers is not None:
        parting = found.layers.parting
        made["dense_token"], made["pruned_token"] = (_choice(one) for one in (path[-1].dense, path[-1].pruned))
        made["layers"] = [asdict(row) for row in found.layers.rows]
        made["parting"] = {"layer": parting.layer, "sublayer": parting.sublayer} if parting else None
    for kind, finding in found.found.items():
        if kind != "layers":
            made |= asdict(finding) if kind == "swaps" else {kind: asdict(finding)}
    made |= {_LEVELS[level]: _pieces(swaps) for level, swaps in found.pieces.items()}
    return {
        **made,
        "models": {"dense": asdict(header.dense), "pruned": asdict(header.pruned)},
        "prune": asdict(header.prune) if header.prune else None,
        "settings": asdict(header.settings),
        "versions": header.versions,
        "warnings": header.every_warning,
        "notes": (*header.every_note, *found.notes),
    }


def print_explained(found: Explanation, path: Sequence[StepRecord], header: RunHeader, console: Console) -> None:
    """Layers at the step in the order of the stream, then heal and damage, the largest first."""
    first, last = found.steps
    console.print(Text.assemble((header.dense.name, "bold blue"), "  ⇄  ", (header.title, "bold dark_orange")))
    where = f"Step {first}" if first == last else f"Steps {first} to {last}"
    names = [f"{name} {printable(c.token)}" for name, c in zip(_NAMES, _choices(path[-1]), strict=True) if c]
    chosen = f" · {' · '.join(names)}" if first == last else ""
    swaps = found.swaps
    kl = f" · KL {swaps.kl:.4g}{'' if first == last else ' in the mean'}" if swaps else ""
    _line(console, f"{where}{chosen}{kl}\n")
    if found.layers is not None:
        _line(
            console,
            f"  {'sublayer':<9} {'same input':^17}   {'accumulated':^17}   lens: dense, pruned\n"
            f"  {'':<9} {'1 - cos h':>9} {'KL':>7}   {'1 - cos h':>9} {'KL':>7}",
            "bold",
        )
        for row in found.layers.rows:
            _line(console, _layer(row, parted=row is found.layers.parting))
        if found.layers.parting is not None:
            _line(console, "┆ From here on the likeliest tokens of the two lenses differ.", "dim")
        console.print()
    if found.split is not None:
        print_split(found.split, found.noise_floor, console)
    for finding in found.found.values():
        if isinstance(finding, Quadrants):
            print_quadrants(finding, console)
    if swaps is not None:
        _print_swaps(swaps, console)
    for level, pieces in found.pieces.items():
        _line(console, f"\nInside: {_LEVELS[level]}\n", "bold")
        _print_exchanges(pieces, console)
    for finding in found.found.values():
        if isinstance(finding, ForkVerdict):
            print_fork(finding, console)
    if found.noise_floor is not None:
        print_noise(found.noise_floor, console)


_LEVELS = {"matrix": "matrices", "head": "heads"}


def _pieces(swaps: Swaps) -> list[dict[str, Any]]:
    """Every matrix or head by its name, the largest heal first, with what it damages in the dense model."""
    damage = {(one.layer, one.sublayer, one.piece): one.kl_after for one in swaps.damage}
    return [
        {"name": one.piece, **asdict(one), "damage": damage[one.layer, one.sublayer, one.piece]} for one in swaps.heal
    ]


def _print_exchanges(swaps: Swaps, console: Console) -> None:
    width = max([len(_name(one)) for one in swaps.heal], default=9)
    for title, swaps_of in (("heal", swaps.heal), ("damage", swaps.damage)):
        estimate = f" {'estimate':>9}" if any(one.estimate is not None for one in swaps_of) else ""
        change = "KL drop" if title == "heal" else "KL rise"
        _line(console, f"  {title:<{width}} {change:>9} {'KL after':>9}{estimate}  top token", "bold")
        for one in swaps_of:
            _line(console, _swap(one, 1 if title == "heal" else -1, width))
        console.print()


def _print_swaps(swaps: Swaps, console: Console) -> None:
    _print_exchanges(swaps, console)
    rows = [("control", f"{swaps.control:g} (nothing exchanged)"), ("KL, all healed", f"{swaps.kl_all_healed:.4g}")]
    if swaps.additivity is not None:
        rows.append(("additivity", f"{swaps.additivity:.3g} (the sum of all heals / KL)"))
    if swaps.rank_correlation is not None:
        rows.append(("rank correlation", f"{swaps.rank_correlation:.3g} (heals and their estimates)"))
    for name, value in rows:
        _line(console, f"{name:>24}  {value}")


_NAMES = ("dense", "pruned")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)


def _choices(record: StepRecord) -> tuple[Choice | None, Choice | None]:
    return record.dense, record.pruned


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    return asdict(choice) if choice else None


def _layer(row: LayerFigures, *, parted: bool) -> str:
    pairs = "   ".join(
        f"{padded(1 - one.h.cos, '9.2g')} {padded(one.p.kl, '7.3g')}" if one else f"{'–':>9} {'–':>7}"
        for one in (row.same_input, row.accumulated)
    )
    return f"{'┆' if parted else ' '} {_name(row)} {pairs}   {_lens(row.lens_dense)} {_lens(row.lens_pruned)}"


def _lens(token: LensToken) -> str:
    return f"{fit(printable(token.token), 12)} {token.p:6.1%}"


def _swap(one: Swap, sign: int, width: int) -> str:
    estimate = "" if one.estimate is None else f" {padded(one.estimate, '9.3g')}"
    top = "the dense one" if one.top_token_returns else ""
    figures = f"{padded(sign * one.kl_drop + 0.0, '9.3g')} {padded(one.kl_after, '9.3g')}{estimate}"
    return f"  {_name(one):<{width}} {figures}  {top}".rstrip()


def _name(row: LayerFigures | Swap) -> str:
    piece = f" {row.piece}" if isinstance(row, Swap) and row.piece else ""
    return f"{row.sublayer:<4} {row.layer:<4}{piece}"
