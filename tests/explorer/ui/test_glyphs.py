"""Other glyphs for charts and marks, and nothing that moves by itself."""

from __future__ import annotations

import itertools

import pytest
from rich.cells import cell_len
from textual.widgets import Input

from explorer.config.screen_options import GlyphSet, Motion, ScreenOptions
from explorer.ui.app import ExplorerApp
from explorer.ui.glyphs import dots, glyph_table
from explorer.ui.widgets.braille import BLOCKS, BRAILLE
from explorer.ui.widgets.curve_plot import MARKS
from explorer.ui.widgets.item_table import RIGHT, WRONG
from explorer.ui.widgets.similarity_maps import TOP_RIGHT, TOP_WRONG
from explorer.words.verdict_figures import OUTCOME_SIGNS
from tests.support.glyphs import SYMBOLS, check_glyphs, unpromised
from tests.support.stage import MIDDLE, SMALL, Clock, on_stage, press, screen_text, scripted, settle

OTHERS = pytest.mark.parametrize("glyphs", [GlyphSet.BLOCKS, GlyphSet.ASCII])


@OTHERS
def test_each_glyph_becomes_one_of_the_same_width(glyphs: GlyphSet) -> None:
    table = glyph_table(glyphs)
    assert {chr(one) for one, other in table.items() if cell_len(chr(one)) != cell_len(other)} == set()
    assert glyph_table(GlyphSet.BRAILLE) == {}


def test_a_quarter_is_filled_where_a_dot_was() -> None:
    table = glyph_table(GlyphSet.BLOCKS)
    for bits, (left, right) in itertools.product(range(256), [(0, 1)]):
        quarter = table[ord(BRAILLE[bits])]
        rows = dots(bits)
        upper, lower = rows[:2], rows[2:]
        filled = [any(row[side] for row in half) for half in (upper, lower) for side in (left, right)]
        assert quarter == " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"[sum(there << place for place, there in enumerate(filled))]


def test_the_heights_of_a_line_differ_in_ascii() -> None:
    table = glyph_table(GlyphSet.ASCII)
    heights = [BRAILLE[0x01 | 0x08], BRAILLE[0x02 | 0x10], BRAILLE[0x40 | 0x80], BRAILLE[0xFF]]
    assert [table[ord(one)] for one in heights] == ['"', "-", "_", "|"]
    assert len({table[ord(one)] for one in BLOCKS}) == len(BLOCKS)


@pytest.mark.parametrize("marks", [MARKS, "●■▲▼◆○□△▽◇", RIGHT + WRONG, TOP_RIGHT + TOP_WRONG, "│┆┊┼", "━┅╌", "▼▽·▵△▲"])
def test_marks_beside_each_other_stay_different(marks: str) -> None:
    assert len({one.translate(glyph_table(GlyphSet.ASCII)) for one in marks}) == len(set(marks))


def test_the_ends_of_an_interval_do_not_become_one_number() -> None:
    assert "(0…0) 51–59".translate(glyph_table(GlyphSet.ASCII)) == "(0:0) 51-59"


def test_outcomes_stay_different() -> None:
    signs = [sign.translate(glyph_table(GlyphSet.ASCII)) for sign in OUTCOME_SIGNS.values()]
    assert len(set(signs)) == len(set(OUTCOME_SIGNS.values()))


@OTHERS
@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
async def test_a_run_while_it_goes_on(glyphs: GlyphSet, size: tuple[int, int]) -> None:
    """Lines that are drawn again one by one go another way to the terminal than a whole screen."""
    source = scripted()
    app = ExplorerApp(source, look=ScreenOptions(glyphs=glyphs), clock=Clock())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for _ in range(3):
            source.advance(10)
            await settle(pilot)
            assert unpromised(screen_text(app), glyphs) == set()
        await press(pilot, "left", "ctrl+p")
        assert unpromised(screen_text(app), glyphs) == set()


async def test_a_run_in_braille_has_some() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        assert unpromised(screen_text(app), GlyphSet.BLOCKS)
        await check_glyphs(app, pilot, GlyphSet.BLOCKS)
        with pytest.raises(AssertionError):
            assert not any(ord(one) in block for one in screen_text(app) for block in SYMBOLS)


@pytest.mark.parametrize("motion", [Motion.FULL, Motion.REDUCED])
async def test_nothing_slides_or_blinks_in_reduced_motion(motion: Motion) -> None:
    app = ExplorerApp(scripted(), look=ScreenOptions(motion=motion), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        moves = motion is Motion.FULL
        assert (app.animation_level != "none") is moves
        await press(pilot, "u")
        field = app.screen.query_one(Input)
        assert field.has_focus
        assert field.cursor_blink is moves
        await press(pilot, "escape")
        app.main.scroll_to(y=1)
        assert app.animator.is_being_animated(app.main, "scroll_y") is False
