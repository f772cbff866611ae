"""Draws with other characters where a font, a terminal or a screen reader has no braille, or little but ASCII.

The screens draw as ever. A filter of Textual exchanges characters of one cell for others of one cell in the lines that
go to the terminal; what is copied and recorded keeps the original ones. `blocks` exchanges the dots of charts, and
`ascii` also marks, arrows, blocks and frames, even in a token's text. Letters and signs of formulas stay.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from explorer.config.screen_options import GlyphSet

_BRAILLE, _BOXES = 0x2800, range(0x2500, 0x2580)
_SYMBOLS = (
    *((range(0x2190, 0x2200), ">"), (range(0x2300, 0x2400), "#"), (range(0x2580, 0x25A0), "%")),
    *((range(0x25A0, 0x2600), "*"), (range(0x2700, 0x27C0), "*")),
)
"""Arrows, keys, blocks, shapes and dingbats, each with what stands for those that are not among the marks."""
_QUARTERS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
"""By bits: 1 upper left, 2 upper right, 4 lower left, 8 lower right."""
_MARKS = {
    **dict(zip("●○■□◆◇▲△▼▽▵▾▸▶▷◂◦◌", "*o#=&%^a" + "vu'v>>)<`.", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉▐▔▕░▒▓▀", ".:-=+*%#" + '|||==##|"|.:%"', strict=True)),
    **dict(zip("✓✗⇄←→↑↓↔⏎↵⌫", "+x/<>^v-<$<", strict=True)),
    **dict(zip("−–—·…′“”‘’×≈‖»‹›", "----:'\"\"''x~|><>", strict=True)),
}
"""Marks that stand beside each other on a screen stay different."""
_WIDE = {"🔎": "/ "}


class GlyphFilter(LineFilter):
    """Exchanges the characters of a table."""

    def __init__(self, glyphs: GlyphSet) -> None:
        super().__init__()
        self.table = glyph_table(glyphs)

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        table = self.table
        return [
            segment
            if segment.control or segment.text.isascii()
            else segment._replace(text=segment.text.translate(table))
            for segment in segments
        ]


@cache
def glyph_table(glyphs: GlyphSet) -> Mapping[int, str]:
    """For `str.translate`: what each character of the screens becomes. Empty with braille."""
    if glyphs is GlyphSet.BRAILLE:
        return {}
    drawn = _quarter if glyphs is GlyphSet.BLOCKS else _ascii_dots
    table = {_BRAILLE + bits: drawn(bits) for bits in range(256)}
    if glyphs is GlyphSet.ASCII:
        table |= {place: _box(place) for place in _BOXES}
        table |= {at: text for places, text in _SYMBOLS for at in places if cell_len(chr(at)) == 1}
        table |= {ord(character): text for character, text in (*_MARKS.items(), *_WIDE.items())}
    return table


def dots(bits: int) -> list[list[bool]]:
    """The dots of a braille character, four rows of two, from above."""
    places = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
    return [[bool(bits & bit) for bit in row] for row in places]


def _quarter(bits: int) -> str:
    rows = dots(bits)
    halves = [[any(row[side] for row in half) for side in (0, 1)] for half in (rows[:2], rows[2:])]
    return _QUARTERS[sum(1 << place for place, there in enumerate((*halves[0], *halves[1])) if there)]


def _ascii_dots(bits: int) -> str:
    rows = dots(bits)
    drawn = [place for place, row in enumerate(rows) if any(row)]
    if not drawn:
        return " "
    if len(drawn) == 1:
        wide = all(rows[drawn[0]])
        return ('"' if wide else "'", "-", "-", "_" if wide else ".")[drawn[0]]
    if len(drawn) > 2:
        return "|"
    return {(0, 1): "^", (1, 2): "+", (2, 3): ","}.get((drawn[0], drawn[1]), ":")


def _box(place: int) -> str:
    """A character of a frame or a rule. Dashed ones differ from solid ones, and heavy ones from light ones."""
    name = unicodedata.name(chr(place))
    horizontal, vertical = "HORIZONTAL" in name or "LEFT" in name or "RIGHT" in name, "VERTICAL" in name
    if "DASH" in name:
        if vertical:
            return ":" if "QUADRUPLE" in name else "!"
        return "~" if "HEAVY" in name else "."
    if "ARC" in name or "DIAGONAL" in name or (vertical and horizontal) or "DOWN" in name or "UP" in name:
        return "+"
    return "|" if vertical else "=" if "HEAVY" in name else "-"
