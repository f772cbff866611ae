"""A figure's name opens its definition, by key and by mouse; the help is filtered by typing."""

from __future__ import annotations

from explorer.ui.screens.figures import FigureList
from explorer.ui.screens.steps import StepsScreen
from explorer.ui.widgets.figure_rows import FigureRows
from tests.support.stage import SMALL, on_stage, press, screen_text, scripted, settle


async def test_a_click_on_a_name_defines_it() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        for panel, row, key in (("#embedding", 2, "h.angle"), ("#accumulated", 3, "survival")):
            await pilot.click(app.main.query_one(panel).query_one(FigureRows), offset=(2, row))
            await settle(pilot)
            assert isinstance(app.screen, FigureList)
            assert app.screen.shown is not None
            assert app.screen.shown.key == key
            await press(pilot, "escape")
        await pilot.click(app.main.query_one("#embedding").query_one(FigureRows), offset=(22, 2))
        await settle(pilot)
        assert app.screen is app.main, "a value is no name"


async def test_a_key_defines_the_figures_of_the_panel_and_typing_finds_others() -> None:
    async with on_stage(scripted(), 30, SMALL) as (app, pilot):
        app.main.query_one("#logit").focus()
        await press(pilot, "D")
        assert isinstance(app.screen, FigureList)
        assert app.screen.shown is not None
        assert app.screen.shown.key == "z.cos_centred"
        await press(pilot, *"half", "minus", *"life", *["backspace"] * 5)
        assert "ln 2 over the mean of −log(1 − TV), in tokens" in " ".join(screen_text(app).split())
        await press(pilot, "escape", "question_mark", *"marked")
        shown = screen_text(app)
        assert "Goes to the next marked step." in shown
        assert "Quits." not in shown
        await press(pilot, *"xyz")
        assert "No key does that." in screen_text(app)


async def test_the_figure_of_the_list_of_steps_is_chosen_from_the_definitions() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "L", "c", *"largest", "enter")
        assert isinstance(app.screen, StepsScreen)
        assert app.screen.look.figure == "z.max_abs"
