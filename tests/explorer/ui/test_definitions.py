"""A figure's name opens its definition, by key and by mouse; the help is filtered by typing."""

from __future__ import annotations

from pathlib import Path

from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Input

from explorer.ui.app import ExplorerApp
from explorer.ui.screens.figures import FigureList
from explorer.ui.screens.steps import StepsScreen
from explorer.ui.widgets.figure_rows import FigureRows
from tests.support.explained_source import ExplainedSource
from tests.support.formula_sweep import some_sweep
from tests.support.records import recorded_events, write_events
from tests.support.stage import SMALL, Clock, at_rest, on_stage, press, screen_text, scripted, settle
from tests.support.swept import ScriptedSweep


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
        await press(pilot, *["backspace"] * 6)
        places = [screen_text(app).find(name) for name in ("Run and prompt", "Runs both models")]
        assert -1 < places[0] < places[1], "the keys are grouped by what they are for"
        await press(pilot, *"setting")
        assert "Opens the settings of a run" in screen_text(app)
        await press(pilot, *"xyz")
        assert "No key does that." in screen_text(app)


async def test_the_figure_whose_name_or_key_begins_with_what_is_typed_comes_first() -> None:
    async with on_stage(scripted(), 30, SMALL) as (app, pilot):
        app.main.query_one("#table").focus()
        await press(pilot, "D")
        assert isinstance(app.screen, FigureList)
        for typed, key in (("", "top.p"), ("KL", "p.kl"), ("p.kl", "p.kl"), ("of kl", "top.kl_share")):
            app.screen.query_one(Input).value = typed
            await settle(pilot)
            assert app.screen.shown is not None
            assert app.screen.shown.key == key


async def test_the_figure_of_the_list_of_steps_is_chosen_from_the_definitions() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "L", "c", *"largest", "enter")
        assert isinstance(app.screen, StepsScreen)
        assert app.screen.look.figure == "z.max_abs"


async def pointed(app: ExplorerApp, pilot: Pilot[int], panel: str, name: str) -> str:
    """The figure that a click on a name in a panel defines; "" if it defines none."""
    widget, under = app.screen.query_one(panel), app.screen
    lines = [strip.text for strip in widget.render_lines(Region(0, 0, *widget.outer_size))]
    y = next(y for y, line in enumerate(lines) if name in line)
    await pilot.click(widget, offset=(lines[y].index(name), y))
    await settle(pilot)
    if not isinstance(app.screen, FigureList):
        assert app.screen is under
        return ""
    assert app.screen.shown is not None
    found = app.screen.shown.key
    await press(pilot, "escape")
    return found


async def first_by_key(app: ExplorerApp, pilot: Pilot[int]) -> str:
    """The figure that the key defines first."""
    await press(pilot, "D")
    assert isinstance(app.screen, FigureList)
    assert app.screen.shown is not None
    found = app.screen.shown.key
    await press(pilot, "escape")
    return found


async def test_names_on_the_main_screen_the_verdict_and_its_items_are_defined_at_a_click() -> None:
    source = scripted()
    async with on_stage(source, 30, (160, 45)) as (app, pilot):
        assert await pointed(app, pilot, "#table", "of KL") == "top.kl_share"
        assert await pointed(app, pilot, "#table", "rank") == "top.rank"
        assert await first_by_key(app, pilot) == "top.p"
        await press(pilot, "j", "r")
        source.score()
        await settle(pilot)
        assert await pointed(app, pilot, "#verdict", "agree") == "task.agreement"
        assert await pointed(app, pilot, "#verdict", "difference") == "task.difference"
        assert await pointed(app, pilot, "#losses", "logit z") == "task.z"
        assert await pointed(app, pilot, "#of-task", "same answers") == "task.agreement"
        assert await first_by_key(app, pilot) == "task.agreement", "those of the panel that was clicked"
        await press(pilot, "enter")
        assert await pointed(app, pilot, "#items", "margin") == "item.margin"
        assert await pointed(app, pilot, "#item", "cos h") == "h.cos"


async def test_names_on_the_comparison_are_defined_at_a_click(tmp_path: Path) -> None:
    async with on_stage(scripted(), 3, (160, 45)) as (app, pilot):
        app.compare([write_events(tmp_path / f"{seed}.jsonl", recorded_events(30, seed=seed)) for seed in (1, 2)])
        await settle(pilot)
        assert await pointed(app, pilot, "#figures", "survival") == "survival"
        assert await pointed(app, pilot, "#p-kl", "KL") == "p.kl"
        assert await first_by_key(app, pilot) == "p.kl"


async def test_names_on_the_sweep_are_defined_at_a_click() -> None:
    app = ExplorerApp(ScriptedSweep(some_sweep()), clock=Clock())
    async with app.run_test(size=(160, 45)) as pilot:
        await at_rest(app, pilot)
        assert await pointed(app, pilot, "#sweep-heat", "verdict") == "task.outcome"
        assert await pointed(app, pilot, "#cell", "same answers") == "task.agreement"
        await press(pilot, "p")
        assert await pointed(app, pilot, "#sweep-pareto", "parameters removed") == "cell.removed"


async def test_names_on_the_screen_that_explains_a_token_are_defined_at_a_click() -> None:
    async with on_stage(ExplainedSource(), 6, (160, 45)) as (app, pilot):
        await press(pilot, "left", "d")
        assert await pointed(app, pilot, "#heat", "accumulated") == "explain.accumulated"
        assert await pointed(app, pilot, "#sheet", "heal ↑") == "explain.heal"
        assert await pointed(app, pilot, "#sheet", "damage ↓") == "explain.damage"
        await press(pilot, "2")
        assert await pointed(app, pilot, "#sheet", "same input") == "explain.same_input"
