"""Sentences about a split: which sublayers moved the two tokens apart, and what a number format would do."""

from __future__ import annotations

import math

from explorer.words import numbers
from explorer.words.token_text import quoted
from probes.schema.noise_floor import MARGIN, NUMBER_FORMATS, NoiseFloor
from probes.schema.split_anatomy import MarginPart, SplitAnatomy, SplitVerdict

_NAMED = 3
"""The most parts that a sentence names."""
_COUNTS = 1 / 3
"""A part is named if it moved the margin by at least this share of what the first one did."""


def movers_sentence(split: SplitAnatomy) -> str:
    """The parts that moved the margin most, and one that moved it back as far; "" if that is not known."""
    change = math.fsum(part.change for part in split.parts)
    if not change:
        return ""
    ordered = parts_by_change(split)
    along = [part for part in ordered if part.change * change > 0]
    named = [part for part in along[:_NAMED] if abs(part.change) >= abs(along[0].change) * _COUNTS]
    back = [part for part in ordered if part.change * change < 0 and abs(part.change) >= abs(change) / 2]
    token = split.b if change < 0 else split.a
    against = f"; {_moved(back[0])} moved them back" if back else ""
    return (
        f"Pruning moved the logits by {_size(change)} towards {quoted(token.token)}, above all "
        f"{', '.join(map(_moved, named))}{against}."
    )


def parts_by_change(split: SplitAnatomy) -> list[MarginPart]:
    """The parts, those that moved the margin most first."""
    return sorted(split.parts, key=lambda part: -abs(part.change))


def margin_part_name(part: MarginPart) -> str:
    """A part as text: "mlp 7", "embedding"."""
    return part.sublayer if part.layer is None else f"{part.sublayer} {part.layer}"


def signed_change(change: float) -> str:
    """A change of the margin with its sign, in three digits."""
    sign = "+" if change > 0 else ""
    return f"{sign}{numbers.significant(change)}"


def formats_sentence(split: SplitAnatomy, floor: NoiseFloor) -> str:
    """A sentence if another number format moves margins as far as pruning moved this one; else ""."""
    formats = [row for row in floor.rows if row.cause in NUMBER_FORMATS]
    far = [row for row in formats if abs(split.change) <= row.largest.get(MARGIN, 0.0)]
    if split.verdict in (None, SplitVerdict.NUMERICAL) or not far:
        return ""
    row = far[0]
    return (
        f"Computed in {row.cause}, an identical model moves a margin by up to {_size(row.largest[MARGIN])} nat, "
        f"which is no less than pruning's {_size(split.change)}."
    )


def _moved(part: MarginPart) -> str:
    return f"{margin_part_name(part)} ({signed_change(part.change)})"


def _size(value: float) -> str:
    return numbers.significant(abs(value))
