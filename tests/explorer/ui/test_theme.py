"""Colours: the ramp is even to the eye, text can be read, nothing depends on red against green."""

from __future__ import annotations

import itertools
import math

import pytest
from rich.style import Style

from explorer.ui.theme import DARK, LIGHT, TERMINAL, THEMES, _to_oklab, mix, palette
from explorer.words.kl_levels import KL_BOUNDS, level

BACKGROUND = {theme.name: theme.background for theme in THEMES}


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def hex_of(style: Style) -> str:
    assert style.color is not None
    return style.color.get_truecolor().hex


@pytest.mark.parametrize("name", [DARK, LIGHT])
@pytest.mark.parametrize("role", ["text", "muted", "dense", "pruned", "shared", "own", "split", "odd"])
def test_words_and_figures_stand_out_from_the_background(name: str, role: str) -> None:
    assert contrast(hex_of(getattr(palette(name), role)), BACKGROUND[name] or "") >= 4.5


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_every_level_of_the_ramp_can_be_read(name: str) -> None:
    assert all(contrast(hex_of(style), BACKGROUND[name] or "") >= 4.5 for style in palette(name).ramp)


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_the_ramp_runs_from_blue_to_orange_and_never_through_green(name: str) -> None:
    colours = [style.color.get_truecolor() for style in palette(name).ramp if style.color]
    assert colours[0].blue > colours[0].red
    assert colours[-1].red > colours[-1].blue
    assert not any(colour.green > max(colour.red, colour.blue) for colour in colours)


def test_steps_between_two_anchors_look_equal() -> None:
    points = [_to_oklab(colour) for colour in mix(("#5f9fdc", "#ff9a3c"), 8)]
    steps = [math.dist(one, other) for one, other in itertools.pairwise(points)]
    assert max(steps) / min(steps) < 1.1
    assert mix(("#5f9fdc", "#ff9a3c"), 8)[0] == "#5f9fdc"


@pytest.mark.parametrize("name", [DARK, LIGHT, TERMINAL])
def test_a_high_kl_is_told_by_more_than_colour(name: str) -> None:
    looks = {(bool(style.underline), bool(style.bold)) for style in palette(name).ramp}
    assert looks == {(False, False), (True, False), (True, True)}


def test_levels_begin_at_their_bounds() -> None:
    assert [level(bound) for bound in KL_BOUNDS] == list(range(1, len(KL_BOUNDS) + 1))
    assert (level(0.0), level(math.inf), level(None), level(math.nan)) == (0, len(KL_BOUNDS), None, None)


def test_the_terminal_theme_uses_the_terminals_own_colours_only() -> None:
    styles = [getattr(palette(TERMINAL), name) for name in ("text", "muted", "dense", "pruned", "own", "selected")]
    for style in [*styles, *palette(TERMINAL).ramp]:
        for colour in (style.color, style.bgcolor):
            assert colour is None or colour.triplet is None
