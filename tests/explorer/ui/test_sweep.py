"""The sweep screen: its views, what its keys do, and the way from a cell to an item's run and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from explorer.sources.kept_sweep import SweepSource
from explorer.sources.launcher import ItemAsRun
from explorer.sources.source import Source
from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.items import ItemsScreen
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.recordings import Recordings
from explorer.ui.screens.sweep import SweepScreen
from explorer.ui.screens.verdict import VerdictScreen
from explorer.ui.widgets.sweep_heat import CellPointed
from probes.schema.errors import BadInput
from probes.schema.items import ItemSet
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.schema.task_results import ItemPrompt
from tests.support.formula_sweep import SETTINGS, TASKS, WANDA, some_sweep, write_sweep
from tests.support.launcher import FakeLauncher
from tests.support.stage import MIDDLE, SMALL, Clock, at_rest, press, screen_text, settle, until
from tests.support.swept import ScriptedSweep


@asynccontextmanager
async def shown(source: SweepSource, size: tuple[int, int] = MIDDLE) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    app = ExplorerApp(source, clock=Clock())
    async with app.run_test(size=size) as pilot:
        await at_rest(app, pilot)
        assert isinstance(app.screen, SweepScreen)
        yield app, pilot


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_the_three_views(size: tuple[int, int]) -> None:
    async with shown(ScriptedSweep(some_sweep()), size) as (app, pilot):
        text = screen_text(app)
        assert "15 settings × 4 tasks" in text
        assert "Safe up to 0.4 for facts, 0.3 for moods and passages, 0.2 for" in text
        assert "▸wanda:0.1" in text
        assert "[✓" in text, "the cell under the cursor"
        await press(pilot, "c")
        text = screen_text(app)
        assert "▸facts · accuracy, %" in text
        assert "◆ safe up to 0.4" in text
        assert "guessing" in text
        await press(pilot, "a")
        assert "points lost against the dense model" in screen_text(app)
        assert "▼ answers" in screen_text(app)
        await press(pilot, "p", "right")
        text = screen_text(app)
        assert "Pareto · moods · parameters removed (%) against points lost" in text
        assert "the front" in text
        await press(pilot, "m")
        assert "settings × tasks · verdict" in screen_text(app)


async def test_keys_move_the_cursor_and_change_the_figure() -> None:
    async with shown(ScriptedSweep(some_sweep())) as (app, pilot):
        await press(pilot, "down", "right", "right")
        assert "wanda:0.2 × passages" in screen_text(app)
        await press(pilot, "g")
        assert "wanda:0.3 × passages" in screen_text(app), "its knee"
        await press(pilot, "n")
        assert "drop-attn:1 × passages" in screen_text(app)
        assert "drop-attn:…  Safe up to 3 for facts" in screen_text(app)
        await press(pilot, "end", "left")
        assert "drop-attn:8 × moods" in screen_text(app)
        await press(pilot, "home", "f", "f")
        assert "settings × tasks · score" in screen_text(app)
        await press(pilot, "F", "F", "F")
        assert "settings × tasks · seconds" in screen_text(app)
        app.screen.post_message(CellPointed(3, 3))
        await settle(pilot)
        assert "wanda:0.4 × answers" in screen_text(app)


async def test_another_margin_moves_the_knees() -> None:
    async with shown(ScriptedSweep(some_sweep())) as (app, pilot):
        await press(pilot, "d", "backspace", *"25", "enter")
        assert "Safe up to 0.6 for facts" in screen_text(app)


async def test_it_is_watched_while_it_runs() -> None:
    source = ScriptedSweep(some_sweep(done=0))
    async with shown(source) as (app, pilot):
        assert "No program computes it now" in screen_text(app)
        await press(pilot, "enter")
        assert any("not computed yet" in notice.message for notice in app._notifications)
        part = some_sweep(done=6, errors=(1,))
        source.become(part, frozenset(str(cell.key) for cell in part.header.cells[6:8]))
        await settle(pilot)
        text = screen_text(app)
        assert "6 of 60 cells, 2 running, 1 failed" in text
        assert "▷ running" in text
        assert "! failed" in text
        await press(pilot, "right")
        assert "Not finite: The model computes NaN at layer 12." in screen_text(app)
        source.become(some_sweep())
        await settle(pilot)
        assert "running" not in screen_text(app)
        assert "wanda:0.1 × moods" in screen_text(app), "the cursor stays"


async def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    async with shown(SweepSource(tmp_path / "none.jsonl")) as (app, _):
        assert "can't be read" in screen_text(app)


async def test_a_cell_opens_as_a_verdict_and_comes_back(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(SETTINGS[3:6], (*TASKS, "prompt 1")), files=True)
    async with shown(SweepSource(path)) as (app, pilot):
        await press(pilot, "down", "right", "right", "enter")
        await at_rest(app, pilot)
        assert isinstance(app.screen, VerdictScreen)
        assert "⇄ wanda:0.5" in screen_text(app)
        assert "▸passages" in screen_text(app)
        await press(pilot, "home", "enter")
        assert isinstance(app.screen, ItemsScreen)
        await press(pilot, "enter")
        assert isinstance(app.screen, ItemsScreen), "without a launcher no models can be loaded"
        await press(pilot, "escape", "escape")
        assert isinstance(app.screen, SweepScreen)
        assert "wanda:0.5 × passages" in screen_text(app)
        await press(pilot, "end", "right", "right", "enter")
        await at_rest(app, pilot)
        assert isinstance(app.screen, MainScreen), "a prompt opens as its recording"
        assert app.view.newest == 4
        await press(pilot, "escape")
        assert isinstance(app.screen, SweepScreen)
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, Recordings), "the list of recordings")


async def test_a_cell_without_a_file_says_so(tmp_path: Path) -> None:
    async with shown(SweepSource(write_sweep(tmp_path, some_sweep(WANDA[:1], ("facts",))))) as (app, pilot):
        await press(pilot, "enter")
        assert "There is no file of wanda:0.1 on facts" in " ".join(screen_text(app).split())
        await press(pilot, "escape")
        assert isinstance(app.screen, SweepScreen)


async def test_an_item_opens_as_a_run_and_comes_back_to_its_list(tmp_path: Path) -> None:
    asked: list[tuple[PairSpec, str, str]] = []

    def open_item(spec: PairSpec, items: ItemSet, item: str, as_run: ItemAsRun) -> Source:
        asked.append((spec, items.name, item))
        prompt = ItemPrompt(items.name, item, "Question 1?", {}, "")
        return ToySource(as_run(prompt, RunSettings("", follow=Follow.FREE)))

    path = write_sweep(tmp_path, some_sweep(SETTINGS[3:5]), files=True)
    app = ExplorerApp(SweepSource(path), launcher=FakeLauncher(open_item=open_item), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await at_rest(app, pilot)
        await press(pilot, "enter")
        await at_rest(app, pilot)
        await press(pilot, "enter", "down", "enter")
        await at_rest(app, pilot)
        assert isinstance(app.screen, MainScreen)
        assert app.view.header is not None
        assert app.view.header.settings.prompt == "Question 1?"
        [(spec, task, item)] = asked
        assert (str(spec.prune), spec.dense, task, item) == ("wanda:0.4", "demo", "facts", "facts-1")
        await press(pilot, "j")
        assert isinstance(app.screen, ItemsScreen)
        assert "▸" in screen_text(app)
        await press(pilot, "down", "enter")
        await at_rest(app, pilot)
        assert asked[1][2] == "facts-2"
        await press(pilot, "escape")
        assert isinstance(app.screen, ItemsScreen)
        await press(pilot, "escape", "escape")
        assert isinstance(app.screen, SweepScreen)


async def test_models_that_can_not_be_loaded_say_so(tmp_path: Path) -> None:
    def open_item(*_: object) -> Source:
        raise BadInput("No such model", "There is no model big.", "Download it.")

    path = write_sweep(tmp_path, some_sweep(SETTINGS[3:4]), files=True)
    app = ExplorerApp(SweepSource(path), launcher=FakeLauncher(open_item=open_item), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await at_rest(app, pilot)
        await press(pilot, "enter")
        await at_rest(app, pilot)
        await press(pilot, "enter", "enter")
        assert "There is no model big." in screen_text(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, ItemsScreen)
