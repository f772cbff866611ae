"""Looks for characters that a set of glyphs promises not to use."""

from __future__ import annotations

from textual.pilot import Pilot

from explorer.config.screen_options import GlyphSet
from explorer.ui.app import ExplorerApp
from explorer.ui.glyphs import GlyphFilter
from tests.support.stage import screen_text, settle

BRAILLE = range(0x2800, 0x2900)
SYMBOLS = (range(0x2190, 0x2200), range(0x2300, 0x2400), range(0x2500, 0x2600), range(0x2700, 0x27C0), BRAILLE)
"""Arrows, keys, frames, blocks, geometric shapes, dingbats."""
LEFT_OUT = {GlyphSet.BLOCKS: (BRAILLE,), GlyphSet.ASCII: SYMBOLS}


def unpromised(text: str, glyphs: GlyphSet) -> set[str]:
    """The characters of a text that the set leaves out."""
    return {one for one in text if any(ord(one) in block for block in LEFT_OUT[glyphs])}


async def check_glyphs(app: ExplorerApp, pilot: Pilot[int], glyphs: GlyphSet) -> None:
    """Draws the present screen in other glyphs, in the same places."""
    before = screen_text(app).splitlines()
    app._glyphs = GlyphFilter(glyphs)
    for widget in (app.screen, *app.screen.query("*")):
        widget.notify_style_update()
        widget.refresh()
    await settle(pilot)
    after = screen_text(app)
    assert unpromised(after, glyphs) == set()
    assert [len(line) for line in after.splitlines()] == [len(line) for line in before]
    app._glyphs = None
