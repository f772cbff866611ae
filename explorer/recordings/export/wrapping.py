"""Breaks text for print into lines by its width in the font."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Measure = Callable[[str], float]
"""The width of a line of text in points."""

_JOINTS = ("+", "@", ",/_")
"""After which a long word may be broken, the best first."""
_LONG = 0.3
"""A word of more than this share of a line may be broken at the joints of a setting."""


def in_font(family: str, size: float) -> Measure:
    """Widths in a font of that size, in points, as matplotlib sets it in vector formats."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font, measured = FontProperties(family=family, size=size), TextToPath()
    return lambda text: float(measured.get_text_width_height_descent(text, font, ismath=False)[0])


def lines_in_font(text: str, width: float, measure: Measure) -> list[str]:
    """The text in lines that are no wider: broken at spaces, long settings after + and @, and anywhere if it must be.

    No-break spaces hold; nothing is hyphenated, so what is broken can be put together again.
    """
    lines, line = [], ""
    for word in re.split(r"[ \t\n]+", text.strip()):
        joint = " "
        for piece in _pieces(word, width, measure):
            longer = f"{line}{joint}{piece}" if line else piece
            if line and measure(longer) > width:
                lines.append(line)
                longer = piece
            line, joint = longer, ""
    return [*lines, line] if line else lines


def _pieces(word: str, width: float, measure: Measure, joints: Sequence[str] = _JOINTS) -> Iterator[str]:
    """A word's parts, none of them wider than a line; the joints of each rank are tried before those of the next."""
    if measure(word) <= (_LONG * width if joints is _JOINTS else width):
        yield word
    elif joints:
        at = joints[0]
        for part in re.findall(f"[^{at}]*[{at}]+|[^{at}]+$", word):
            yield from _pieces(part, width, measure, joints[1:])
    else:
        fits = _fitting(word, width, measure)
        yield word[:fits]
        if rest := word[fits:]:
            yield from _pieces(rest, width, measure, ())


def _fitting(text: str, width: float, measure: Measure) -> int:
    """How many of the letters fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle]) <= width else (low, middle - 1)
    return low
