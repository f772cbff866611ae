"""How the explorer looks and moves, as a person chooses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.option import described


class ThemeChoice(StrEnum):
    """The colours."""

    DARK = "dark"
    LIGHT = "light"
    CONTRAST = "contrast"
    """Every text has a contrast of at least 7 to 1."""
    TERMINAL = "terminal"
    """The terminal's own sixteen colours."""


class GlyphSet(StrEnum):
    """The characters that charts, marks and frames are drawn with."""

    BRAILLE = "braille"
    BLOCKS = "blocks"
    """Quarter blocks in place of braille dots."""
    ASCII = "ascii"
    """Nothing but ASCII for charts, marks, arrows and frames."""


class Motion(StrEnum):
    """What moves by itself."""

    FULL = "full"
    REDUCED = "reduced"
    """Nothing slides, scrolls smoothly or blinks."""


@dataclass(frozen=True, slots=True)
class ScreenOptions:
    """How the explorer looks and moves."""

    theme: ThemeChoice = field(default=ThemeChoice.DARK, metadata=described("The colours."))
    glyphs: GlyphSet = field(
        default=GlyphSet.BRAILLE,
        metadata=described(
            "The characters of charts and marks: blocks needs no braille, ascii is ASCII but for signs such as Σ and °."
        ),
    )
    motion: Motion = field(
        default=Motion.FULL, metadata=described("With reduced, nothing slides, scrolls smoothly or blinks.")
    )


SCREEN_DEFAULTS = ScreenOptions()
