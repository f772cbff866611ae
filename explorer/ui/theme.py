"""Colours: three themes of its own, one that leaves them to the terminal, and the ramp from blue to orange.

Blue is the dense model and all that is like it, orange the pruned one and all that is unlike. No colour carries a
meaning alone: the ramp goes with underlines, series with line styles, the models with their names and sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from explorer.config.screen_options import ThemeChoice
from explorer.words.kl_levels import BOLD, KL_BOUNDS, UNDERLINED, level

DARK, LIGHT, CONTRAST, TERMINAL = "phier-dark", "phier-light", "phier-contrast", "phier-terminal"
THEME_NAMES = (DARK, LIGHT, CONTRAST, TERMINAL)
IN_WORDS = {DARK: "Dark", LIGHT: "Light", CONTRAST: "High contrast", TERMINAL: "The terminal's own"}
OF_CHOICE = {
    ThemeChoice.DARK: DARK,
    ThemeChoice.LIGHT: LIGHT,
    ThemeChoice.CONTRAST: CONTRAST,
    ThemeChoice.TERMINAL: TERMINAL,
}


@dataclass(frozen=True, slots=True)
class Palette:
    """The styles of everything that draws its own lines."""

    text: Style
    muted: Style
    quiet: Style
    """A choice that agrees with the token taken: dimmed."""
    faint: Style
    """The rest of a bar, and a key that does nothing now."""
    strong: Style
    dense: Style
    pruned: Style
    shared: Style
    own: Style
    spark: Style
    """A chart one row high."""
    cursor: Style
    """The token under the cursor."""
    column: Style
    """The cursor's column of a chart."""
    selected: Style
    """The chosen row of a table."""
    split: Style
    odd: Style
    """Values that are not finite or not valid."""
    ramp: tuple[Style, ...]
    """From like to unlike, one style a level."""
    heat: tuple[Style, ...]
    """The same for the cells of a heat map that hold a figure: on grounds from blue to orange."""
    open_cell: Style
    """Such a cell that is neither safe nor broken."""

    def of_kl(self, kl: float | None) -> Style:
        """How a token or a bar with this KL is drawn."""
        if kl is not None and kl != kl:
            return self.odd
        found = level(kl)
        return self.muted if found is None else self.ramp[found]


def palette(name: str) -> Palette:
    """The styles that go with a theme; those of the dark one for a theme that is not the project's own."""
    return _PALETTES.get(name, _PALETTES[DARK])


THEMES = (
    Theme(
        name=DARK,
        primary="#6cb0f5",
        secondary="#9db7d1",
        accent="#ffa24a",
        warning="#ffa24a",
        error="#ff8a3d",
        success="#6cb0f5",
        foreground="#dfe3e8",
        background="#14171c",
        surface="#14171c",
        panel="#1d2229",
        dark=True,
        variables={"border": "#3a424d", "border-blurred": "#3a424d", "block-cursor-text-style": "bold"},
    ),
    Theme(
        name=LIGHT,
        primary="#1d5fa6",
        secondary="#44607d",
        accent="#a84600",
        warning="#a84600",
        error="#a33f00",
        success="#1d5fa6",
        foreground="#1c2127",
        background="#fbfaf8",
        surface="#fbfaf8",
        panel="#eeece7",
        dark=False,
        variables={
            "border": "#b9b7b0",
            "border-blurred": "#b9b7b0",
            "block-cursor-text-style": "bold",
            "foreground-muted": "#565b60",
        },
    ),
    Theme(
        name=CONTRAST,
        primary="#8ccbff",
        secondary="#c4ccd4",
        accent="#ffb84d",
        warning="#ffb84d",
        error="#ffb84d",
        success="#8ccbff",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1a1a1a",
        dark=True,
        variables={
            "border": "#9aa2aa",
            "border-blurred": "#9aa2aa",
            "block-cursor-text-style": "bold",
            "foreground-muted": "#c4ccd4",
        },
    ),
    Theme(
        name=TERMINAL,
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_cyan",
        accent="ansi_yellow",
        warning="ansi_yellow",
        error="ansi_yellow",
        success="ansi_blue",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        variables={
            "ansi-background": "ansi_black",
            "ansi-foreground": "ansi_white",
            "border": "ansi_bright_black",
            "border-blurred": "ansi_bright_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "input-cursor-background": "ansi_default",
            "input-cursor-foreground": "ansi_default",
            "input-cursor-text-style": "reverse",
            "input-selection-background": "ansi_blue",
            "input-selection-foreground": "ansi_white",
            "screen-selection-background": "ansi_blue",
            "screen-selection-foreground": "ansi_white",
        },
    ),
)


def _ramp(colours: Sequence[str | None]) -> tuple[Style, ...]:
    return tuple(
        Style(color=colour, underline=place >= UNDERLINED or None, bold=place >= BOLD or None)
        for place, colour in enumerate(colours)
    )


def _grounds(anchors: Sequence[str], text: str, on_last: str) -> tuple[Style, ...]:
    """Grounds at even steps between the anchors; the last two have another colour of text, to be read on them."""
    return _inked(mix(anchors, len(KL_BOUNDS) + 1), text, on_last, 2)


def _inked(grounds: Sequence[str], text: str, on_last: str, last: int) -> tuple[Style, ...]:
    """Grounds with text in its colour, or on the last ones in another; those of the last two are bold."""
    count = len(grounds)
    return tuple(
        Style(color=on_last if place >= count - last else text, bgcolor=colour, bold=place >= count - 2 or None)
        for place, colour in enumerate(grounds)
    )


def mix(anchors: Sequence[str], count: int) -> list[str]:
    """Colours at even steps between the anchors, straight lines in OKLab, where equal steps look equal."""
    points = [_to_oklab(anchor) for anchor in anchors]
    found = []
    for place in range(count):
        at = place / (count - 1) * (len(points) - 1)
        left = min(int(at), len(points) - 2)
        share = at - left
        found.append(_from_oklab([a + (b - a) * share for a, b in zip(points[left], points[left + 1], strict=True)]))
    return found


def _to_oklab(colour: str) -> list[float]:
    triplet = Color.parse(colour).get_truecolor()
    linear = [_linear(channel / 255) for channel in triplet]
    cone = [sum(m * v for m, v in zip(row, linear, strict=True)) ** (1 / 3) for row in _TO_CONES]
    return [sum(m * v for m, v in zip(row, cone, strict=True)) for row in _TO_LAB]


def _from_oklab(lab: Sequence[float]) -> str:
    cone = [sum(m * v for m, v in zip(row, lab, strict=True)) ** 3 for row in _FROM_LAB]
    linear = [sum(m * v for m, v in zip(row, cone, strict=True)) for row in _FROM_CONES]
    red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, value)))) for value in linear)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    return float(12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


# Björn Ottosson's OKLab: linear sRGB to cone responses, their cube roots to L, a, b, and both ways back.
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_FROM_LAB = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_FROM_CONES = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)

_PALETTES = {
    DARK: Palette(
        text=Style(color="#dfe3e8"),
        muted=Style(color="#97a1ad"),
        quiet=Style(color="#7b8591"),
        faint=Style(color="#5c6672"),
        strong=Style(color="#ffffff", bold=True),
        dense=Style(color="#6cb0f5"),
        pruned=Style(color="#ffa24a"),
        shared=Style(color="#cfe3f7"),
        own=Style(color="#ffa24a"),
        spark=Style(color="#7f93a8"),
        column=Style(bgcolor="#2f3843"),
        cursor=Style(color="#14171c", bgcolor="#e8e4da", bold=True),
        selected=Style(bgcolor="#2a323d"),
        split=Style(color="#ffd9a8", bold=True),
        odd=Style(color="#ffd9a8", bold=True),
        ramp=_ramp(mix(("#5f9fdc", "#cfd2d2", "#ff9a3c"), len(KL_BOUNDS) + 1)),
        heat=_grounds(("#18457a", "#3b4149", "#e6852c"), "#eef2f6", "#14171c"),
        open_cell=Style(color="#dfe3e8", bgcolor="#2c323a"),
    ),
    LIGHT: Palette(
        text=Style(color="#1c2127"),
        muted=Style(color="#565b60"),
        quiet=Style(color="#6c7175"),
        faint=Style(color="#929089"),
        strong=Style(color="#000000", bold=True),
        dense=Style(color="#1d5fa6"),
        pruned=Style(color="#a84600"),
        shared=Style(color="#123a66"),
        own=Style(color="#a84600"),
        spark=Style(color="#6f8297"),
        column=Style(bgcolor="#dfe3e9"),
        cursor=Style(color="#fbfaf8", bgcolor="#2b3138", bold=True),
        selected=Style(bgcolor="#e2e6ec"),
        split=Style(color="#8a3a00", bold=True),
        odd=Style(color="#8a3a00", bold=True),
        ramp=_ramp(mix(("#1b62b0", "#54534e", "#b84a00"), len(KL_BOUNDS) + 1)),
        heat=_grounds(("#bcd8f3", "#e6e3dc", "#e27a24"), "#1c2127", "#14171c"),
        open_cell=Style(color="#1c2127", bgcolor="#f0ece0"),
    ),
    CONTRAST: Palette(
        text=Style(color="#ffffff"),
        muted=Style(color="#c4ccd4"),
        quiet=Style(color="#b4bcc4"),
        faint=Style(color="#808890"),
        strong=Style(color="#ffffff", bold=True),
        dense=Style(color="#8ccbff"),
        pruned=Style(color="#ffb84d"),
        shared=Style(color="#d6ecff"),
        own=Style(color="#ffb84d"),
        spark=Style(color="#b4bcc4"),
        column=Style(bgcolor="#303030"),
        cursor=Style(color="#000000", bgcolor="#ffffff", bold=True),
        selected=Style(bgcolor="#2b2b2b"),
        split=Style(color="#ffe0b0", bold=True),
        odd=Style(color="#ffe0b0", bold=True),
        ramp=_ramp(mix(("#6cbcff", "#dedede", "#ffa61a"), len(KL_BOUNDS) + 1)),
        heat=_inked(  # no ground is of a middling lightness, on which neither white nor black can be read well
            (*mix(("#0b3d78", "#262626", "#4f2c00"), 5), *mix(("#d98a1c", "#ffc266"), 3)), "#ffffff", "#000000", 3
        ),
        open_cell=Style(color="#ffffff", bgcolor="#2b2b2b"),
    ),
    TERMINAL: Palette(
        text=Style(),
        muted=Style(dim=True),
        quiet=Style(dim=True),
        faint=Style(dim=True),
        strong=Style(bold=True),
        dense=Style(color="blue"),
        pruned=Style(color="yellow"),
        shared=Style(),
        own=Style(color="yellow"),
        spark=Style(),
        column=Style(bold=True),
        cursor=Style(reverse=True),
        selected=Style(bold=True),
        split=Style(bold=True),
        odd=Style(bold=True),
        ramp=_ramp(("blue", "blue", "cyan", None, None, "yellow", "yellow", "bright_yellow")),
        heat=tuple(
            Style(color=one) for one in ("blue", "blue", "cyan", None, None, "yellow", "yellow", "bright_yellow")
        ),
        open_cell=Style(),
    ),
}
