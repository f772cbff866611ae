"""Colours: the ramp is even to the eye, and nothing depends on red against green or on colour alone."""

from __future__ import annotations

import itertools
import math

import pytest

from explorer.ui.theme import CONTRAST, DARK, LIGHT, TERMINAL, _to_oklab, mix, palette
from explorer.words.kl_levels import KL_BOUNDS, level


@pytest.mark.parametrize("name", [DARK, LIGHT, CONTRAST])
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


@pytest.mark.parametrize("name", [DARK, LIGHT, CONTRAST, TERMINAL])
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
