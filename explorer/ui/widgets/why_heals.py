"""Pages of swaps and layers: heal and damage, the largest first; and the figures of the stream, from below to above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.style import Style

from explorer.state.heals import HealRow, heal_rows
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import Piece, Pieces
from explorer.ui.widgets.why_sheet import SheetLines
from explorer.words import numbers
from explorer.words.figures import FLOAT_NOISE
from explorer.words.token_text import fit, fit_quoted
from probes.schema.explanation import LayerFigures, Layers, LensToken, SpaceFigures, Swaps
from probes.schema.part import Part

NAME = 10
TELLING = 0.1
"""A heal of at least this share of the KL is bright."""
RETURNS, DIFFERS = "● returns", "○ differs"
"""Whether the pruned model's top token becomes that of the dense one."""


def heal_note(found: Swaps, *, final: bool) -> str:
    """Additivity, rank correlation and control, for the frame; a sum below 0 has a warning instead of the last."""
    if not final:
        return "≈ estimates, until exact"
    parts = []
    if found.additivity is not None:
        harm = " ! harm alone" if found.additivity < 0 else ""
        parts.append(f"heals sum {numbers.times(found.additivity)} KL{harm}")
    if found.rank_correlation is not None and not (found.additivity is not None and found.additivity < 0):
        parts.append(f"≈ order {numbers.signed(found.rank_correlation)}")
    parts.append(f"control {numbers.significant(found.control)}")
    return " · ".join(parts)


def heal_table(
    found: Swaps, inside: Part | None, held: Sequence[Part], splits: bool, palette: Palette, width: int
) -> SheetLines:
    """Heal and damage of every sublayer, or of the pieces of one. A token returns only if the models split. Rows keep
    the order that is `held`."""
    rows = heal_rows(found, inside, held)
    columns = [one for one in _HEAL_COLUMNS if one.least <= width and (splits or one.write is not _returns)]
    name = max(NAME, min(18, width - sum(one.width for one in columns)))
    what = f"{'piece' if inside else 'sublayer'}{', nat' if name >= 14 else ''}"
    head: Pieces = [(f" {what:<{name - 1}}", palette.muted)]
    head += [(one.title.rjust(one.width), palette.muted) for one in columns]
    lines: list[Pieces] = []
    for row in rows:
        title = row.piece or str(row.part)
        line: Pieces = [(f" {fit(title, name - 1)}", palette.text)]
        line += [(text.rjust(one.width), style) for one in columns for text, style in [one.write(row, palette)]]
        lines.append(line)
    parts = [row.part for row in rows] if inside is None else []
    return SheetLines([head], lines, parts)


@dataclass(frozen=True, slots=True)
class _HealColumn:
    title: str
    width: int
    least: int
    """The panel's width from which on it is shown."""
    write: Callable[[HealRow, Palette], tuple[str, Style]]


def _heal(row: HealRow, palette: Palette) -> tuple[str, Style]:
    drop = row.drop
    if row.heal is None or drop is None:
        return numbers.NONE, palette.muted
    style = palette.strong if drop >= TELLING * row.heal.kl_before else palette.text
    if not row.heal.exact:
        return f"≈ {numbers.significant(drop, 2)}", palette.muted
    return numbers.significant(drop), style


def _after(row: HealRow, palette: Palette) -> tuple[str, Style]:
    if row.heal is None or not row.heal.exact:
        return "…", palette.muted
    return numbers.significant(row.heal.kl_after), palette.of_kl(row.heal.kl_after) + Style(underline=False)


def _estimate(row: HealRow, palette: Palette) -> tuple[str, Style]:
    found = row.heal.estimate if row.heal is not None else None
    return (numbers.NONE if found is None else f"≈ {numbers.significant(found, 2)}"), palette.muted


def _damage(row: HealRow, palette: Palette) -> tuple[str, Style]:
    rise = row.rise
    if rise is None:
        return "…", palette.muted
    return numbers.significant(rise), palette.text


def _returns(row: HealRow, palette: Palette) -> tuple[str, Style]:
    if row.heal is None or not row.heal.exact:
        return "", palette.muted
    return (RETURNS, palette.dense) if row.heal.top_token_returns else (DIFFERS, palette.muted)


_HEAL_COLUMNS = (
    _HealColumn("heal ↑", 10, 0, _heal),
    _HealColumn("KL after", 10, 0, _after),
    _HealColumn("estimate", 10, 56, _estimate),
    _HealColumn("damage ↓", 10, 0, _damage),
    _HealColumn("top token", 11, 0, _returns),
)


# The stream.


def layer_table(found: Layers, palette: Palette, width: int) -> SheetLines:
    """Every sublayer in the order of the stream: deviations, lenses, and the theorems if there is room."""
    alike = any(row.same_input is not None for row in found.rows)
    columns = [one for one in _LAYER_COLUMNS if one.least <= width and (alike or one.group != _SAME)]
    used = NAME + sum(one.width for one in columns)
    token = max(6, min(16, (width - used) // 2 - 7))
    groups: Pieces = [(" " * NAME, None)]
    for title in dict.fromkeys(one.group for one in columns):
        size = sum(one.width for one in columns if one.group == title)
        shown = title if len(title) < size else _SHORT_GROUPS[title]
        groups.append((shown.rjust(size) if shown != title else f"  {title:<{size - 2}}", palette.muted))
    groups.append((f" {'lens dense':<{token + 6}} lens pruned", palette.muted))
    head: Pieces = [(f" {'sublayer':<{NAME - 1}}", palette.muted)]
    head += [(one.title.rjust(one.width), palette.muted) for one in columns]
    parting = found.parting
    lines: list[Pieces] = []
    for row in found.rows:
        mark = "┆" if row is parting else " "
        line: Pieces = [(" ", None), (f"{row.sublayer} {row.layer}".ljust(NAME - 2), palette.text)]
        line.append((mark, palette.split))
        line += [(text.rjust(one.width), style) for one in columns for text, style in [_layer_cell(one, row, palette)]]
        same = row.lens_dense.token_id == row.lens_pruned.token_id
        line += [*_lens(row.lens_dense, token, palette.dense), (" ", None)]
        line += _lens(row.lens_pruned, token, palette.quiet if same else palette.pruned)
        lines.append(line)
    return SheetLines([groups, head], lines, [Part(row.sublayer, row.layer) for row in found.rows])


@dataclass(frozen=True, slots=True)
class _LayerColumn:
    group: str
    title: str
    width: int
    least: int
    value: Callable[[LayerFigures], float | None]
    kl: bool = False


def _lens(token: LensToken, width: int, style: Style) -> list[Piece]:
    return [(f" {fit_quoted(token.token, width)}", style), (numbers.percent(token.p).rjust(5), style)]


def _layer_cell(column: _LayerColumn, row: LayerFigures, palette: Palette) -> tuple[str, Style]:
    found = column.value(row)
    if found is None:
        return numbers.NONE, palette.muted
    if numbers.odd(found):
        return numbers.odd(found), palette.odd
    style = palette.of_kl(found) + Style(underline=False) if column.kl else palette.text
    return numbers.significant(found, 2), style


def _ratio(estimate: float, true: float) -> float | None:
    return estimate / true if true > FLOAT_NOISE else None


def _theorem(of: Callable[[LayerFigures], SpaceFigures], which: int) -> Callable[[LayerFigures], float | None]:
    def ratio(row: LayerFigures) -> float | None:
        found = of(row)
        match which:
            case 1:
                return _ratio(found.h.cos_estimate, 1 - found.h.cos)
            case 2:
                return _ratio(found.p.cos_estimate, 1 - found.p.cos)
        return _ratio(found.p.kl_estimate, found.p.kl)

    return ratio


def _std(row: LayerFigures) -> float | None:
    """std_p(Δz)/T: Theorem 3's estimate is half its square."""
    found = row.accumulated.p.kl_estimate
    return (2 * found) ** 0.5 if found >= 0 else None


def _same(value: Callable[[SpaceFigures], float]) -> Callable[[LayerFigures], float | None]:
    return lambda row: value(row.same_input) if row.same_input is not None else None


def _accumulated(row: LayerFigures) -> SpaceFigures:
    return row.accumulated


_SAME = "same input"
_SHORT_GROUPS = {_SAME: "same in.", "accumulated": "accum.", "estimate / true": "est.", "spread": "spread"}
_LAYER_COLUMNS = (
    _LayerColumn(_SAME, "1−cos h", 9, 84, _same(lambda found: 1 - found.h.cos)),
    _LayerColumn(_SAME, "1−cos z", 9, 140, _same(lambda found: 1 - found.z.cos_centred)),
    _LayerColumn(_SAME, "KL", 9, 0, _same(lambda found: found.p.kl), kl=True),
    _LayerColumn("accumulated", "1−cos h", 9, 84, lambda row: 1 - row.accumulated.h.cos),
    _LayerColumn("accumulated", "1−cos z", 9, 140, lambda row: 1 - row.accumulated.z.cos_centred),
    _LayerColumn("accumulated", "KL", 9, 0, lambda row: row.accumulated.p.kl, kl=True),
    _LayerColumn("estimate / true", "Thm 1", 8, 100, _theorem(_accumulated, 1)),
    _LayerColumn("estimate / true", "Thm 2", 8, 116, _theorem(_accumulated, 2)),
    _LayerColumn("estimate / true", "Thm 3", 8, 100, _theorem(_accumulated, 3)),
    _LayerColumn("spread", "std Δz/T", 10, 116, _std),
)
