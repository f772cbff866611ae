"""Text stands out from its ground, and what means opposites looks different, with and without colour blindness."""

from __future__ import annotations

import itertools

import pytest
from rich.color import Color
from rich.style import Style

from explorer.ui.theme import CONTRAST, DARK, LIGHT, THEMES, Palette, palette
from tests.support.colour_vision import SEEN_BY, contrast, distance, linear

ORDINARY, HIGH, GRAPHIC = 4.5, 7.0, 3.0
"""WCAG 2's contrasts: of text (1.4.3, AA), of text in the high contrast theme (1.4.6, AAA), of graphics (1.4.11)."""
APART, BESIDE = 18.0, 8.0
"""Distances in OKLab × 100: of two models or of opposite findings, and of grounds that stand beside each other."""
OWN = pytest.mark.parametrize("name", [DARK, LIGHT, CONTRAST])
KIND = pytest.mark.parametrize("kind", SEEN_BY)
BY_NAME = {theme.name: theme for theme in THEMES}
WORDS = ("text", "muted", "quiet", "strong", "dense", "pruned", "shared", "own", "split", "odd")
DRAWN = ("faint", "spark")
IN_ROWS = tuple(word for word in WORDS if word != "quiet")
"""A quiet token is never in a chosen row."""


def ink(style: Style) -> str:
    return _hex(style.color)


def ground(style: Style) -> str:
    return _hex(style.bgcolor)


def _hex(colour: Color | None) -> str:
    assert colour is not None
    return colour.get_truecolor().hex


def least(name: str) -> float:
    return HIGH if name == CONTRAST else ORDINARY


@OWN
def test_words_are_read_on_every_ground_that_they_stand_on(name: str) -> None:
    shown, theme = palette(name), BY_NAME[name]
    pairs = [(role, ink(getattr(shown, role)), theme.background) for role in WORDS]
    pairs += [(f"{role} of a chosen row", ink(getattr(shown, role)), ground(shown.selected)) for role in IN_ROWS]
    pairs += [(f"level {level}", ink(style), theme.background) for level, style in enumerate(shown.ramp)]
    pairs += [
        (f"cell {level}", ink(style), ground(style)) for level, style in enumerate((*shown.heat, shown.open_cell))
    ]
    pairs += [("the cursor", ink(shown.cursor), ground(shown.cursor))]
    low = {what: round(found, 2) for what, one, on in pairs if (found := contrast(one, on or "")) < least(name)}
    assert low == {}


@OWN
def test_frames_fields_and_notices_are_read(name: str) -> None:
    """What Textual colours by the theme. A colour with an alpha is mixed with the background first."""
    theme = BY_NAME[name]
    made = theme.to_color_system().generate()
    assert theme.background is not None
    for variable in ("foreground", "foreground-muted", "primary", "accent", "warning", "error", "success"):
        assert contrast(_over(made[variable], theme.background), theme.background) >= least(name), variable
    assert contrast(made["foreground"][:7], made["panel"][:7]) >= least(name)


def _over(colour: str, background: str) -> str:
    """An opaque colour, from #rrggbb or #rrggbbaa on a ground."""
    share = int(colour[7:9], 16) / 255 if len(colour) == 9 else 1.0
    mixed = [
        round(int(colour[place : place + 2], 16) * share + int(background[place : place + 2], 16) * (1 - share))
        for place in (1, 3, 5)
    ]
    return "#" + "".join(f"{value:02x}" for value in mixed)


@OWN
@KIND
def test_charts_and_bars_stand_out(name: str, kind: str) -> None:
    shown, background = palette(name), BY_NAME[name].background or ""
    for role in (*WORDS, *DRAWN):
        assert contrast(ink(getattr(shown, role)), background, kind) >= GRAPHIC, role
    for role in ("dense", "pruned", "shared", "own", "muted"):
        assert contrast(ink(getattr(shown, role)), ground(shown.column), kind) >= GRAPHIC, role


@OWN
@KIND
def test_models_contexts_and_findings_are_told_apart(name: str, kind: str) -> None:
    shown = palette(name)
    apart = opposites(shown)
    close = {what: round(found, 1) for what, pair in apart.items() if (found := distance(*pair, kind)) < APART}
    assert close == {}


def opposites(shown: Palette) -> dict[str, tuple[str, str]]:
    """Colours with opposite meanings."""
    return {
        "dense and pruned": (ink(shown.dense), ink(shown.pruned)),
        "on the shared and on the own context": (ink(shown.shared), ink(shown.own)),
        "like and unlike": (ink(shown.ramp[0]), ink(shown.ramp[-1])),
        "safe and broken": (ground(shown.heat[0]), ground(shown.heat[-1])),
        "open and broken": (ground(shown.open_cell), ground(shown.heat[-1])),
    }


@OWN
@KIND
def test_an_open_cell_is_not_taken_for_a_safe_one(name: str, kind: str) -> None:
    shown = palette(name)
    assert distance(ground(shown.open_cell), ground(shown.heat[0]), kind) >= BESIDE


@OWN
@KIND
def test_a_level_looks_ever_less_like_the_first(name: str, kind: str) -> None:
    """So the order of the levels is seen, whatever the colours are seen as."""
    shown = palette(name)
    for colours in ([ink(style) for style in shown.ramp], [ground(style) for style in shown.heat]):
        away = [distance(colours[0], colour, kind) for colour in colours]
        assert all(one < other for one, other in itertools.pairwise(away))


def test_the_simulation_keeps_greys_and_confuses_what_it_should() -> None:
    for kind in SEEN_BY:
        assert contrast("#808080", "#808080", kind) == 1
        assert contrast("#000000", "#ffffff", kind) == pytest.approx(21, abs=0.01)
        assert distance("#777777", "#787878", kind) == pytest.approx(distance("#777777", "#787878"), rel=0.01)
    # An olive and a brown that differ for most people hardly do without cones for red, or for green.
    green, red = "#5e7d00", "#a05a1c"
    assert distance(green, red) > 2 * max(distance(green, red, kind) for kind in ("protanopia", "deuteranopia")) > 0
    assert distance("#0000ff", "#004d4d", "tritanopia") < distance("#0000ff", "#004d4d")
    assert linear("#ffffff") == (1, 1, 1)
