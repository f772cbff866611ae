"""Every state the screen can be in says what it is and what can be done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual._callback import invoke

from explorer.bench.interface import CountingDriver
from explorer.sources.source import Sink
from explorer.sources.toy.source import ToySource
from explorer.sources.toy.step import Accidents
from explorer.ui.app import ExplorerApp
from explorer.ui.clipboard import copies_folder
from explorer.ui.screens.main import MainScreen
from explorer.ui.widgets.text_panel import TextPanel
from probes.schema.events import Failed, WorkProgressed
from probes.schema.requests import Cancel, Run
from probes.schema.settings import Follow
from tests.support.stage import MIDDLE, SMALL, on_stage, press, screen_text, scripted, settle, text_of, until


class Waiting(ToySource):
    """A source that is not ready until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self.opened += 1


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_before_anything_arrives_it_says_so(size: tuple[int, int]) -> None:
    async with on_stage(Waiting(), size=size) as (app, _):
        assert "Starting" in screen_text(app)


async def test_a_download_tells_bytes_speed_time_left_and_how_to_cancel() -> None:
    source = Waiting()
    async with on_stage(source) as (app, pilot):
        for done in range(5_000_000, 46_000_000, 1_000_000):
            source.emit(WorkProgressed("Downloading SmolLM2", done, 112_000_000, "bytes"))
            await settle(pilot)
        shown = screen_text(app)
        for words in ("Downloading SmolLM2", "45.0 MB of 112 MB", "MB/s", "s left", "Esc cancels"):
            assert words in shown
        await press(pilot, "escape")
        assert source.asked == [Cancel()]


async def test_loading_layers_and_work_without_an_end_are_told_too() -> None:
    source = Waiting()
    async with on_stage(source) as (app, pilot):
        source.emit(WorkProgressed("Loading SmolLM2", 18, 30, "layers"))
        await settle(pilot)
        assert "18 of 30 layers" in screen_text(app)
        source.emit(WorkProgressed("Importing torch"))
        await settle(pilot)
        assert "Importing torch" in screen_text(app)


async def test_models_that_can_not_be_loaded_are_told_with_the_next_step_and_tried_again() -> None:
    source = Waiting()
    async with on_stage(source) as (app, pilot):
        source.emit(Failed("Model not found", "There is no folder [smol] here.", "Give a folder with config.json."))
        await settle(pilot)
        shown = screen_text(app)
        for words in ("Model not found", "There is no folder [smol] here.", "Give a folder", "r tries again"):
            assert words in shown
        await press(pilot, "r")
        assert source.opened == 2
        source.begin()
        await settle(pilot)
        assert "ready" in text_of(app, "Title")


async def test_ready_says_how_to_begin() -> None:
    async with on_stage(scripted()) as (app, _):
        said = " ".join(text_of(app, "#reading").split())
        assert "Nothing is generated yet" in said
        assert "Space runs them, n measures a single step." in said
        assert "How many clips did Natalia sell?" in screen_text(app)


async def test_work_during_a_run_leaves_the_run_on_the_screen() -> None:
    source = scripted()
    async with on_stage(source, 20) as (app, pilot):
        source.emit(WorkProgressed("Calibrating wanda:0.6", 1024, 4096, "tokens"))
        await settle(pilot)
        shown = screen_text(app)
        assert "Calibrating wanda:0.6" in shown
        assert "1,024 of 4,096 tokens" in shown
        assert "next token at step 20" in shown
        await press(pilot, "n", "x")
        assert source.asked == []


async def test_the_clock_of_slow_work_may_tick_once_more_while_the_program_ends() -> None:
    source = scripted()
    async with on_stage(source, 20) as (app, pilot):
        source.emit(WorkProgressed("Calibrating wanda:0.6", 1024, 4096, "tokens"))
        await settle(pilot)
    assert app.view.work is not None
    app._show_time()  # with widgets that are gone


async def test_a_failure_during_a_run_is_a_dialog_and_loses_nothing() -> None:
    source = scripted()
    async with on_stage(source, 20) as (app, pilot):
        source.emit(Failed("Out of memory", "It needs 1.2 GB more [really].", "Try --dtype bfloat16."))
        await settle(pilot)
        shown = screen_text(app)
        for words in ("Out of memory", "It needs 1.2 GB more [really].", "Try --dtype bfloat16.", "nothing is lost"):
            assert words in shown
        await press(pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        assert app.view.newest == 20


async def test_events_go_on_under_a_dialog() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "space", "question_mark")
        source.advance(5)
        await settle(pilot)
        assert app.view.newest == 10
        await press(pilot, "escape")
        assert "step 10/128" in text_of(app, "Title")


async def test_looking_back_while_it_runs_says_how_far_and_end_returns() -> None:
    source = scripted()
    async with on_stage(source, 20) as (app, pilot):
        await press(pilot, "space", "pageup")
        source.advance(2)
        await settle(pilot)
        assert "12 behind" in text_of(app, "Title")
        assert "still running" in text_of(app, "Status")
        await press(pilot, "end")
        assert "following" in text_of(app, "Title")
        assert "behind" not in text_of(app, "Title")


@pytest.mark.parametrize(
    ("accidents", "steps", "state", "sentence"),
    [
        (Accidents(dense_ends=20, pruned_ends=22), 99, "■ ended", "The text ended at step 22."),
        (Accidents(invalid=12), 99, "■ invalid", "The pruned model computed NaN or infinity"),
        (Accidents(), 128, "■ limit reached", "128 steps are done; running again does 128 more."),
    ],
)
async def test_a_run_that_stands_still_says_why(accidents: Accidents, steps: int, state: str, sentence: str) -> None:
    source = scripted(accidents=accidents)
    async with on_stage(source) as (app, pilot):
        await press(pilot, "space")
        source.advance(steps)
        await settle(pilot)
        assert state in text_of(app, "Title")
        assert sentence in text_of(app, "Status")


async def test_an_invalid_step_names_the_first_layer() -> None:
    source = scripted(accidents=Accidents(invalid=12))
    async with on_stage(source, 20) as (app, _):
        assert "model.layers.7.mlp.down_proj" in " ".join(text_of(app, "#reading").split())
        assert "NaN" in text_of(app, "#table")


async def test_an_infinite_kl_is_shown_as_such_everywhere() -> None:
    async with on_stage(scripted(accidents=Accidents(infinite=12)), 12) as (app, _):
        assert "∞" in text_of(app, "#probability FigureRows")
        assert "∞" in text_of(app, "#probability Chart")
        assert "∞" in text_of(app, "#strip")
        assert "infinite" in text_of(app, "#reading")


@pytest.mark.parametrize(
    ("follow", "dense", "pruned"),
    [
        (
            Follow.DENSE,
            "dense · the text that both read",
            "pruned · its own choice at each step of the dense text",
        ),
        (
            Follow.PRUNED,
            "dense · its own choice at each step of the pruned text",
            "pruned · the text that both read",
        ),
        (Follow.FREE, "dense · the text it wrote", "pruned · the text it wrote"),
        (Follow.TEXT, "the given text", "pruned · its own choice at each step of the given text"),
    ],
)
async def test_each_text_says_whose_it_is(follow: Follow, dense: str, pruned: str) -> None:
    async with on_stage(scripted(follow), 20) as (app, _):
        assert str(app.main.query_one("#dense", TextPanel)._words[0]) == dense
        assert str(app.main.query_one("#pruned", TextPanel)._words[0]) == pruned


async def test_the_first_split_is_marked_in_both_texts_and_named() -> None:
    async with on_stage(scripted(), 30, MIDDLE) as (app, _):
        for side in ("#dense", "#pruned"):
            assert text_of(app, side).count("┆") == 1
        assert 'split at step 17: " sold" against " /"' in screen_text(app)


@pytest.mark.parametrize("size", [(59, 40), (120, 15), (20, 5)])
async def test_a_terminal_that_is_too_small_gets_a_sentence(size: tuple[int, int]) -> None:
    async with on_stage(scripted(), 5, size) as (app, _):
        assert "phier needs" in screen_text(app)


@pytest.mark.parametrize("size", [(60, 16), (79, 24), (100, 30), (109, 50), (200, 20), (250, 70)])
async def test_every_size_from_the_least_shows_all_regions(size: tuple[int, int]) -> None:
    async with on_stage(scripted(), 30, size) as (app, _):
        regions = [widget.region for widget in app.main.query(".panel, #strip, #keys, #title")]
        assert all(region.width > 0 and region.height > 0 for region in regions)
        assert all(region.right <= size[0] and region.bottom <= size[1] for region in regions)
        assert text_of(app, "#table").count("\n") >= 1


async def test_a_resize_keeps_the_cursor_in_sight() -> None:
    async with on_stage(scripted(), 100) as (app, pilot):
        await press(pilot, "g")
        await pilot.resize_terminal(*SMALL)
        await settle(pilot)
        text = app.main.query_one("#dense", TextPanel)
        assert text._top <= text._flow.line_of(app.view.cursor) < text._top + text.size.height


async def test_no_color_means_no_colour_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "g")
        colours = set()
        looks = set()
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                if segment.style is not None:
                    colours |= {segment.style.color, segment.style.bgcolor}
                    looks.add((segment.style.bold, segment.style.underline, segment.style.reverse))
        assert all(colour is None or colour.is_default for colour in colours)
        assert len(looks) >= 4


async def test_at_rest_nothing_is_written_to_the_terminal() -> None:
    source = scripted()
    app = ExplorerApp(source, driver=CountingDriver)
    async with app.run_test(headless=False, size=MIDDLE) as pilot:
        await until(pilot, lambda: app.view.header is not None, "the run has begun")
        source.advance(30)
        await settle(pilot)
        written = CountingDriver.written
        assert written > 0
        # Only a timer or an animation writes without being asked.
        assert not app.animator._animations
        for node in (app, *app.screen_stack, *app.screen.walk_children()):
            for timer in node._timers:
                if timer._active.is_set() and timer._callback is not None:
                    await invoke(timer._callback)
        await settle(pilot)
        assert CountingDriver.written == written
        app.leave()


async def test_a_flood_of_steps_is_folded_whole() -> None:
    source = scripted(steps=500)
    async with on_stage(source) as (app, pilot):
        source.ask(Run())
        source.advance(400)
        await settle(pilot)
        assert app.view.newest == 400
        assert "step 400/500" in text_of(app, "Title")


async def test_going_on_past_the_limit_says_how_far() -> None:
    source = scripted(Follow.DENSE, steps=6)
    async with on_stage(source) as (app, pilot):
        await press(pilot, "space")
        source.advance(6)
        await settle(pilot)
        assert "step 6/6" in text_of(app, "Title")
        source.settings = replace(source.settings, steps=100)
        await press(pilot, "space")
        source.advance(2)
        await settle(pilot)
        assert "step 8/12" in text_of(app, "Title")


async def test_what_says_nothing_of_itself_shows_its_time() -> None:
    source = Waiting()
    async with on_stage(source) as (app, pilot):
        source.emit(WorkProgressed("Loading torch and transformers"))
        await settle(pilot)
        app._clock.now += 20  # type: ignore[attr-defined]
        app._show_time()
        await settle(pilot)
        assert "20 s so far" in screen_text(app) or "21 s so far" in screen_text(app)


async def test_escape_cancels_before_anything_has_arrived() -> None:
    source = Waiting()
    async with on_stage(source) as (app, pilot):
        assert "Starting" in screen_text(app)
        await press(pilot, "escape")
        assert source.asked == [Cancel()]


@pytest.mark.parametrize("multiplexer", ["", "1234.pts-0.host"])
async def test_gnu_screen_is_sent_no_clipboard_and_told_so(
    multiplexer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    if multiplexer:
        monkeypatch.setenv("STY", multiplexer)
    async with on_stage(scripted(), 5) as (app, pilot):
        written: list[str] = []
        assert app._driver is not None
        monkeypatch.setattr(app._driver, "write", written.append)
        await press(pilot, "y", "y")
        copied = any("\x1b]52;" in text for text in written)
        [notice] = app._notifications
        assert (copied, notice.title) == ((False, "Written") if multiplexer else (True, "Copied"))
        assert ("GNU screen does not reach the clipboard." in notice.message) == bool(multiplexer)
        assert list(copies_folder().glob("table*.txt")) if multiplexer else not copies_folder().exists()
