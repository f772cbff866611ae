"""Pages of sentences and small tables: compute or memory, the split and its forks, what to give back, the noise
floor."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import Piece, Pieces
from explorer.ui.widgets.next_tokens import bar, ranks
from explorer.ui.widgets.why_heals import DIFFERS, RETURNS
from explorer.ui.widgets.why_sheet import SheetLines, paragraph
from explorer.words import culprits, numbers
from explorer.words.blame import blame_sentence, fork_sentence, memory_sentence
from explorer.words.token_text import fit, fit_quoted, flowing, wrapped
from probes.schema.fork_verdict import ForkedRun, ForkVerdict
from probes.schema.noise_floor import NUMBER_FORMATS, Noise, NoiseFloor
from probes.schema.quadrants import Quadrants
from probes.schema.repair import Gain, GivenBack, Repair
from probes.schema.split_anatomy import MarginPart, SplitAnatomy


def sentence_page(sentences: Sequence[str], palette: Palette, width: int) -> SheetLines:
    """Only sentences: why there is nothing to show yet."""
    lines: list[Pieces] = []
    for sentence in sentences:
        lines += [*paragraph(sentence, width, palette.muted), []]
    return SheetLines(rows=lines[:-1])


def memory_page(found: Quadrants, palette: Palette, width: int) -> SheetLines:
    """The 2×2 of weights and cache, its sentence, and the earlier positions whose cache does the damage."""
    column = 16
    values = (found.control, found.pruned_cache, found.pruned_weights, found.both)
    cells = [
        (numbers.significant(value).center(column), palette.of_kl(value) + Style(underline=False)) for value in values
    ]
    rule = ("├" + "─" * column + "┼" + "─" * column + "┤", palette.faint)
    margin = " " * 17
    lines: list[Pieces] = [
        *paragraph(blame_sentence(found), width, palette.strong),
        *paragraph(memory_sentence(found), width, palette.text),
        [(f" {'KL, nat':<16} {'dense cache':^{column}} {'pruned cache':^{column}}", palette.muted)],
        [(f"{margin}┌{'─' * column}┬{'─' * column}┐", palette.faint)],
        _quadrant_row("dense weights", palette.dense, cells[:2], palette),
        [(margin, None), rule],
        _quadrant_row("pruned weights", palette.pruned, cells[2:], palette),
        [(f"{margin}└{'─' * column}┴{'─' * column}┘", palette.faint)],
    ]
    if found.positions:
        lines.append([])
        token = max(8, min(20, width - 40))
        lines.append([(f" {'position':>8} {fit('token', token)} {'KL drop':>9} {'KL after':>9}", palette.muted)])
        largest = max(0.0, *(one.kl_drop for one in found.positions))
        for one in found.positions:
            share = one.kl_drop / largest if largest > 0 else 0.0
            lines.append(
                [
                    (f" {one.position:>8} {fit_quoted(one.token, token)}", palette.text),
                    (f" {numbers.significant(one.kl_drop):>9} {numbers.significant(one.kl_after):>9} ", palette.text),
                    (bar(max(0.0, share), 8), palette.pruned),
                ]
            )
    return SheetLines(rows=lines)


def _quadrant_row(name: str, style: Style, cells: Sequence[Piece], palette: Palette) -> Pieces:
    edge = ("│", palette.faint)
    return [(f" {name:<16}", style), edge, cells[0], edge, cells[1], edge]


# The split.

MOVERS = 8
"""The most parts of the stream that the page lists."""


def split_page(found: SplitAnatomy, forked: ForkVerdict | str, palette: Palette, width: int) -> SheetLines:
    """The verdict, both margins, the two tokens, what moved them, and what becomes of a fork or why it is unknown."""
    lines = paragraph(culprits.split_kind(found), width, palette.strong)
    token = max(8, min(18, width - 44))
    lines += [[], [(f"   {fit('token', token)} {'dense p':>8} {'pruned q':>9} {'rank':^13} {'Δz':>7}", palette.muted)]]
    for mark, one in (("●", found.a), ("○", found.b)):
        lines.append(
            [
                (f" {mark} {fit_quoted(one.token, token)} ", palette.text),
                (f"{one.p:>8.3f}", palette.dense),
                (f"{one.q:>10.3f}", palette.pruned),
                (f"{ranks(one.rank_dense, one.rank_pruned)}", palette.muted),
                (f"{numbers.signed(one.z_pruned - one.z_dense):>8}", palette.text),
            ]
        )
    entropies = [numbers.significant(h) for h in (found.entropy_dense, found.entropy_pruned)]
    lines += [
        [],
        _pair_line("margin, nat", numbers.signed(found.margin_dense), numbers.signed(found.margin_pruned), palette),
        _pair_line("entropy, nat", entropies[0], entropies[1], palette),
    ]
    if found.floor:
        lines.append([(f" {'noise floor':<14}", palette.muted), (numbers.significant(found.floor), palette.text)])
    if found.parts:
        lines += [[], *_movers(found.parts, palette, width)]
    for note in found.notes:
        lines += paragraph(note, width, palette.muted)
    lines.append([])
    if isinstance(forked, str):
        lines += paragraph(forked, width, palette.muted)
    else:
        for run, into_pruned in ((forked.dense_into_pruned, True), (forked.pruned_into_dense, False)):
            lines += paragraph(fork_sentence(run, into_pruned=into_pruned), width, palette.text)
            lines += _fork_text(run, palette, width)
        lines += paragraph(
            f"Recovers: the same token at {numbers.percent(forked.agree_recovers)} of the steps or more. Collapses: "
            f"below {numbers.percent(forked.agree_collapses)}, or in a loop.",
            width,
            palette.muted,
        )
    if thresholds := culprits.split_thresholds(found):
        lines += paragraph(thresholds, width, palette.muted)
    return SheetLines(rows=lines)


def _pair_line(name: str, dense: str, pruned: str, palette: Palette) -> Pieces:
    return [
        (f" {name:<14}", palette.muted),
        (f"dense {dense:<9}", palette.dense),
        (f"pruned {pruned}", palette.pruned),
    ]


def _movers(parts: Sequence[MarginPart], palette: Palette, width: int) -> list[Pieces]:
    """The parts that moved the margin most, largest first, and what all others add up to."""
    largest = sorted(parts, key=lambda part: -abs(part.change))[:MOVERS]
    rest = sum(part.change for part in parts) - sum(part.change for part in largest)
    top = max((abs(part.change) for part in largest), default=0.0)
    room = max(4, min(24, width - 48))
    heading = f" {'moved z(●) − z(○)':<20}{'dense':>8}{'pruned':>8}{'change':>9}"
    lines: list[Pieces] = [[(heading, palette.muted)]]
    for part in largest:
        name = part.sublayer if part.layer is None else f"{part.sublayer} {part.layer}"
        style = palette.pruned if part.change < 0 else palette.dense
        share = abs(part.change) / top if top > 0 else 0.0
        lines.append(
            [
                (f"   {name:<18}", palette.text),
                (f"{numbers.signed(part.dense):>7}{numbers.signed(part.pruned):>8}", palette.muted),
                (f"{numbers.signed(part.change):>9} ", palette.text),
                (bar(share, room), style),
            ]
        )
    if len(parts) > len(largest):
        others = f"{len(parts) - len(largest)} others"
        lines.append([(f"   {others:<18}{'':>15}{numbers.signed(rest):>9}", palette.muted)])
    whole = sum(part.change for part in parts)
    lines.append([(f"   {'all':<18}{'':>15}{numbers.signed(whole):>9}", palette.strong)])
    return lines


def _fork_text(run: ForkedRun, palette: Palette, width: int) -> list[Pieces]:
    text = fit(flowing(run.text), width - 5).rstrip()
    return [[(f"   {text}", palette.muted)]]


# What to give back.


def repair_page(found: Repair | None, said: Sequence[str], final: bool, palette: Palette, width: int) -> SheetLines:
    """The set that was found, its cost and its gain; before it, what the search says. If it is not `final`, it is the
    best set of a search that goes on or was cancelled."""
    lines: list[Pieces] = []
    for sentence in said:
        lines += [*paragraph(sentence, width, palette.text), []]
    if found is None:
        return SheetLines(rows=lines)
    lines += paragraph(culprits.repaired(found, final=final), width, palette.strong)
    other = culprits.held_out(found) if final else culprits.NOT_HELD_OUT_YET
    lines += [[], *paragraph(other, width, palette.pruned), []]
    lines.append([(f" {'':<22}{'KL, nat':>10} {'after':>8} {'same top-1':>18}", palette.muted)])
    lines.append(_gain("on the span", found.span, palette))
    if found.held_out is not None:
        lines.append(_gain("held out", found.held_out, palette))
    if found.given_back:
        top = "top token" if found.span.steps == 1 else "same top-1"
        lines += [[], [(f" {'given back':<20}{'pruned weights':>15} {'KL with it':>11} {top:>11}", palette.muted)]]
        for one in found.given_back:
            whole = f"{one.sublayer} {one.layer}" if one.layer is not None else "single weights"
            name = f"{whole} {one.matrix}".strip()
            after = palette.of_kl(one.kl_after) + Style(underline=False)
            cost = f" {fit(name, 20)}{numbers.rank(one.parameters):>15} "
            lines.append(
                [
                    (cost, palette.text),
                    (f"{numbers.significant(one.kl_after):>11}", after),
                    _top_after(one, found, palette),
                ]
            )
        if len(found.given_back) > 1:
            each = "KL with it, nat: with that row and all above it given back. It may rise on the way."
            lines += paragraph(each, width, palette.muted)
    dropped = f" {found.not_needed} turned out not to be needed." if found.not_needed else ""
    tried = f"{found.tried} sets were measured.{dropped}" if final else ""
    lines += [[], *paragraph(" ".join((tried, *found.notes)).strip(), width, palette.muted)]
    lines.append([(" setting", palette.muted)])
    lines += [[(f"   {line}", palette.pruned)] for line in wrapped(flowing(found.setting), width - 4)]
    return SheetLines(rows=lines)


def _top_after(one: GivenBack, found: Repair, palette: Palette) -> Piece:
    """Does the dense model's token return with this one given back, or at which share of the steps?"""
    if one.agree_after is None:
        return f"{numbers.NONE:>12}", palette.muted
    if found.span.steps > 1:
        return f"{numbers.percent(one.agree_after):>12}", palette.text
    return (f"{RETURNS:>12}", palette.dense) if one.agree_after == 1 else (f"{DIFFERS:>12}", palette.muted)


def _gain(name: str, gain: Gain, palette: Palette) -> Pieces:
    agree = f"{numbers.percent(gain.agree_before)} → {numbers.percent(gain.agree_after)}"
    where = f"{name}, {gain.steps} step{'s' * (gain.steps != 1)}"
    return [
        (f" {fit(where, 22)}", palette.muted),
        (f"{numbers.significant(gain.kl_before):>10} ", palette.text),
        (f"{numbers.significant(gain.kl_after):>8}", palette.strong),
        (f"{agree:>19}", palette.text),
    ]


# The noise floor.

_FLOORS = ("p.kl", "h.gap", "z.gap", "p.tv", "margin")


def floor_page(found: NoiseFloor, palette: Palette, width: int) -> SheetLines:
    """The noise floor of each figure, by its cause."""
    lines = paragraph(
        f"The dense model against itself, computed in another way, over {found.steps} steps. Each is the largest "
        "difference, KL and margin in nat. A split below this floor is numerical, not damage.",
        width,
        palette.text,
    )
    names = [name for name in _FLOORS if any(name in row.largest for row in found.rows)][: max(1, (width - 20) // 9)]
    lines += [[], [(f" {'cause':<18}" + "".join(f"{_short(name):>9}" for name in names), palette.muted)]]
    formats = [row for row in found.rows if row.cause in NUMBER_FORMATS]
    lines += [_noise(row, names, palette.text) for row in found.rows if row not in formats]
    floors = "".join(f"{numbers.significant(found.floor(name), 2):>9}" for name in names)
    lines.append([(f" {f'floor in {found.own_dtype}'[:18]:<18}{floors}", palette.strong)])
    if formats:
        lines += [[], [(" another number format, which is no part of the floor", palette.muted)]]
        lines += [_noise(row, names, palette.muted) for row in formats]
    for cause, why in found.skipped.items():
        lines += paragraph(f"{cause}: left out. {why}", width, palette.muted)
    return SheetLines(rows=lines)


def _noise(row: Noise, names: Sequence[str], style: Style) -> Pieces:
    values = [numbers.significant(row.largest[name], 2) if name in row.largest else numbers.NONE for name in names]
    return [(f" {fit(row.cause, 18)}{''.join(f'{value:>9}' for value in values)}", style)]


def _short(name: str) -> str:
    return {"p.kl": "KL", "h.gap": "1−cos h", "z.gap": "1−cos z", "p.tv": "TV"}.get(name, name)
