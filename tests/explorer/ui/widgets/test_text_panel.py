"""A text is laid out again only if its width has changed: of ten thousand tokens that takes a second."""

from __future__ import annotations

from explorer.ui.widgets.text_panel import TextPanel
from tests.support.stage import on_stage, press, scripted, text_of


async def test_a_text_hidden_by_a_zoomed_panel_stays_as_it_is() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        flow, shown = text._flow, text_of(app, "#dense")
        await press(pilot, "z")  # the table
        assert not text.display
        await press(pilot, "n", "z")
        assert text.display
        assert text._flow is flow
        assert text_of(app, "#dense").startswith(shown[: len(shown) // 2])
        assert len(text._tokens) == 31


async def test_a_text_takes_the_width_that_it_is_given() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        flow = text._flow
        text.focus()
        await press(pilot, "z")
        assert text._flow is not flow
        assert text._flow.width == text.size.width
