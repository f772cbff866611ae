"""The prune screen: cells are chosen, given another treatment, applied, compared, and gone back on."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from explorer.ui.app import ExplorerApp
from explorer.ui.screens.prunegrid import PruneGrid
from explorer.ui.widgets.before_after import BeforeAfter
from explorer.ui.widgets.layer_grid import LayerGrid
from explorer.ui.widgets.prune_brush import PruneBrush
from probes.schema.prune_setting import parse
from probes.schema.requests import Prune
from probes.schema.settings import Follow
from tests.support.snapshots import Compare, before, seen
from tests.support.stage import LARGE, MIDDLE, SMALL, explorer, on_stage, press, screen_text, scripted

SIZES = pytest.mark.parametrize("size", [SMALL, MIDDLE, LARGE], ids=["80x24", "120x36", "160x45"])


def planned(app: ExplorerApp) -> str:
    """The setting that would be applied."""
    screen = app.screen
    assert isinstance(screen, PruneGrid)
    return str(screen._plan.setting or "")


def figures(app: ExplorerApp) -> str:
    return "\n".join(app.screen.query_one(BeforeAfter)._text_lines())


async def test_a_restored_range_is_applied_and_its_figures_stand_beside_the_former_ones() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 12) as (app, pilot):
        await press(pilot, "w", "down", "down", "r", "down", "0")
        assert planned(app) == "wanda:0.5+dense@attn@layers=2-3"
        assert source.asked == [], "a plan is only text until it is applied"
        await press(pilot, "enter")
        assert source.asked == [Prune(parse("wanda:0.5+dense@attn@layers=2-3"))]
        shown = figures(app)
        assert "wanda:0.5+dense@attn@layers=2-3" in shown
        assert "all 12" in shown
        assert "ΣKL" in shown


async def test_undo_redo_and_flip_ask_for_the_settings_that_were() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 6) as (_app, pilot):
        await press(pilot, "w", "d", "enter")
        dropped = "wanda:0.5+drop-attn@layers=0"
        await press(pilot, "u")
        await press(pilot, "U")
        await press(pilot, "v")
        await press(pilot, "v")
        assert source.asked == [Prune(parse(text)) for text in (dropped, "wanda:0.5", dropped, "wanda:0.5", dropped)]
        await press(pilot, "u", "u")
        assert source.asked[-1] == Prune(parse("wanda:0.5"))
        assert len(source.asked) == 6, "there is nothing before the first setting"


@pytest.mark.parametrize("keys", [("w", "u"), ("v",)])
async def test_the_cursor_stays_at_its_step_when_the_setting_changes(keys: tuple[str, ...]) -> None:
    async with on_stage(scripted(Follow.DENSE), 12) as (app, pilot):
        await press(pilot, "home", "right", "w", "d", "enter", "escape", *keys)
        assert app.view.run == 3
        assert (app.view.cursor, app.view.newest) == (2, 12)


async def test_the_line_below_the_layers_says_where_the_cursor_is() -> None:
    async with on_stage(scripted(Follow.DENSE), 12) as (app, pilot):
        await press(pilot, "home", "right", "w")
        assert "Step 2 of 12." in screen_text(app)
        assert "End" not in screen_text(app), "there it moves within the table"


async def test_two_settings_are_flipped_from_the_main_screen_too() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 6) as (_app, pilot):
        await press(pilot, "v")
        assert source.asked == []
        source.ask(Prune(parse("wanda:0.3")))
        await press(pilot, "v")
        assert source.asked[-1] == Prune(parse("wanda:0.5"))


async def test_the_brush_gives_a_method_and_an_amount_to_a_column_of_matrices() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 3, MIDDLE) as (app, pilot):
        await press(pilot, "w", "end", *["right"] * 8, "m", "3", "plus", "a", "space")
        brush = app.screen.query_one(PruneBrush)
        assert brush.amount == brush.treatment.amount
        assert planned(app) == f"wanda:0.5+dense@name=down_proj+{brush.treatment}@name=down_proj"
        assert str(brush.amount) == "0.35"
        await press(pilot, "p")
        await press(pilot, "space")
        assert planned(app).endswith(f"{brush.method}:2:4@name=down_proj")
        await press(pilot, "backspace")
        assert planned(app) == "wanda:0.5"


async def test_the_slider_and_the_cells_take_the_mouse() -> None:
    async with on_stage(scripted(Follow.DENSE), 3) as (app, pilot):
        await press(pilot, "w")
        await pilot.click("#brush", offset=(1 + len(" amount  ") + 15, 2))
        assert str(app.screen.query_one(PruneBrush).amount) == "0.75"
        await pilot.click("#layers", offset=(20, 7))
        grid = app.screen.query_one(LayerGrid)
        assert (grid.row, grid.column) == (5, 2)


async def test_nothing_left_to_prune_is_said_and_not_asked_for() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 3) as (app, pilot):
        await press(pilot, "w", "a", "r")
        await press(pilot, "home", "r", "end", "right", "0", "enter")
        assert planned(app) == ""
        assert source.asked == []
        assert "stays dense" in screen_text(app)


async def test_a_recording_shows_what_was_measured_and_applies_nothing() -> None:
    source = scripted(Follow.DENSE, live=False)
    async with on_stage(source, 3) as (app, pilot):
        await press(pilot, "w")
        assert isinstance(app.screen, PruneGrid)
        assert "50 %" in screen_text(app)
        await press(pilot, "0", "enter")
        assert source.asked == []
        assert "wanda:0.5" in str(app.screen.query_one("#title", Static).render())
        await press(pilot, "escape")
        assert app.screen is app.main


@SIZES
def test_the_layers_after_a_change(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    keys = ("w", "down", "down", "r", "down", "0", "enter", "down", "down", "d")
    assert seen(explorer(source), snap_compare, size, before(source, 24, *keys))


async def test_what_was_restored_counts_among_what_was_pruned() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 3) as (app, pilot):
        await press(pilot, "w", "0", "enter")
        assert app.view.header is not None
        report = app.view.header.prune
        assert report is not None
        assert report.summary == "49.6 % of 106.2 M zeroed"
        await press(pilot, "escape")
        assert "paused" in str(app.main.query_one("#title").render_line(0).text)  # type: ignore[attr-defined]


async def test_events_may_arrive_while_the_screen_opens() -> None:
    async with on_stage(scripted(Follow.DENSE), 3) as (app, pilot):
        app.main.action_grid()
        assert isinstance(app.screen, PruneGrid)
        app._fold()
        await press(pilot)
        assert "50 %" in screen_text(app)
