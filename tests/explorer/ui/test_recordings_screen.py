"""The list of recordings and the comparison of several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from explorer.recordings.library import matching
from explorer.sources.source import Source
from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.compare import ComparisonScreen
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.recordings import Recordings
from explorer.ui.screens.sweep import SweepScreen
from explorer.ui.widgets.comparison import ComparedFigures, ComparedTexts, closely, difference, lines_of, narrowed
from explorer.ui.widgets.recording_list import RecordingList
from probes.schema.requests import Step
from tests.support.formula_sweep import SETTINGS, some_sweep, write_sweep
from tests.support.launcher import FakeLauncher
from tests.support.stage import MIDDLE, SMALL, Clock, listed, opened, press, record, screen_text, settle


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings and a file that is none; the program's own are not listed."""
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    monkeypatch.setattr("explorer.ui.screens.recordings._shipped", list)
    record(tmp_path / "half.jsonl", "wanda:0.5", 30)
    record(tmp_path / "third.jsonl", "wanda:0.3", 24)
    record(tmp_path / "drop.jsonl", "drop-attn@layers=20", 20)
    (tmp_path / "broken.jsonl").write_text("not a recording\n")
    return tmp_path


@asynccontextmanager
async def browsing(
    live: Source | None = None, size: tuple[int, int] = MIDDLE
) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    app = ExplorerApp(launcher=FakeLauncher(lambda: live) if live else None, clock=Clock())
    async with app.run_test(size=size) as pilot:
        await listed(app, pilot)
        yield app, pilot


def choose(app: ExplorerApp, name: str) -> None:
    listing = app.screen.query_one(RecordingList)
    assert listing._found is not None
    listing.row = next(place for place, one in enumerate(listing._found) if one.path.name == name)


async def test_every_recording_is_told_by_setting_steps_and_figures(folder: Path) -> None:
    async with browsing() as (app, _):
        shown = screen_text(app)
        for words in ("wanda:0.5", "wanda:0.3", "drop-attn@layers=20", "free", "SmolLM2-135M-Instruct"):
            assert words in shown
        assert "broken.jsonl: " in shown


async def test_a_chosen_recording_opens_on_the_main_screen(folder: Path) -> None:
    async with browsing() as (app, pilot):
        choose(app, "third.jsonl")
        await press(pilot, "enter")
        await opened(app, pilot)
        assert app.view.newest == 24
        assert not app.view.live
        assert "wanda:0.3" in screen_text(app)


async def test_a_file_that_is_no_recording_can_neither_be_opened_nor_marked(folder: Path) -> None:
    async with browsing() as (app, pilot):
        choose(app, "broken.jsonl")
        await press(pilot, "enter", "space")
        assert isinstance(app.screen, Recordings)
        assert app.screen.query_one(RecordingList).marked == []


async def test_what_is_typed_after_a_slash_narrows_the_list(folder: Path) -> None:
    async with browsing() as (app, pilot):
        await press(pilot, "slash", "0", "full_stop", "3", "enter")
        listing = app.screen.query_one(RecordingList)
        assert [one.path.name for one in listing._found or ()] == ["third.jsonl"]
        assert listing.has_focus
        app.screen.query_one(Input).value = "nothing like it"
        await settle(pilot)
        assert listing.chosen is None
        await press(pilot, "enter")
        assert isinstance(app.screen, Recordings)


async def test_an_empty_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    monkeypatch.setattr("explorer.ui.screens.recordings._shipped", list)
    async with browsing() as (app, pilot):
        assert "No recording here" in screen_text(app)
        await press(pilot, "enter", "space", "c", "down")
        assert isinstance(app.screen, Recordings)


async def test_a_new_run_is_offered_where_there_are_models(folder: Path) -> None:
    source = ToySource()
    async with browsing(source) as (app, pilot):
        assert "new run" in screen_text(app)
        await press(pilot, "n")
        await settle(pilot)
        assert app.source is source
        assert app.view.header is not None
        await press(pilot, "n")
        assert source.asked == [Step()]
    async with browsing() as (app, pilot):
        assert "new run" not in screen_text(app)


async def test_o_opens_the_list_over_a_run_and_escape_goes_back(folder: Path) -> None:
    app = ExplorerApp(ToySource(), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "n", "o")
        await listed(app, pilot)
        await press(pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert app.view.newest == 1


async def test_opening_a_recording_leaves_the_run_before_it_closed_and_unheard(folder: Path) -> None:
    source = ToySource()
    app = ExplorerApp(source, clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "o")
        await listed(app, pilot)
        choose(app, "half.jsonl")
        await press(pilot, "enter")
        await opened(app, pilot)
        assert source._closed.is_set()
        source.advance(3)
        await settle(pilot)
        assert app.view.newest == 30


async def test_opening_a_recording_is_refused_where_it_would_lose_steps(folder: Path) -> None:
    lost = FakeLauncher(unsaved=lambda: "3 lines are not recorded: the disk is full.")
    app = ExplorerApp(ToySource(), launcher=lost, clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "o")
        await listed(app, pilot)
        choose(app, "half.jsonl")
        await press(pilot, "enter")
        assert "the disk is full" in screen_text(app)
        assert app.view.live


async def test_the_models_of_a_recording_go_on_from_the_cursor(folder: Path) -> None:
    from explorer.sources.replay import ReplaySource

    asked: list[tuple[str, int]] = []
    source = ToySource()

    def go_on(header: object, path: object, _found: object) -> Source:
        asked.append((header.title, len(path)))  # type: ignore[attr-defined,arg-type]
        return source

    app = ExplorerApp(ReplaySource(folder / "half.jsonl"), launcher=FakeLauncher(go_on=go_on), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await opened(app, pilot)
        assert "m models" in screen_text(app)
        await press(pilot, "home", "right", "right", "m")
        assert "Measures 3 steps again. From here on, steps 4 to" in " ".join(screen_text(app).split())
        assert not asked, "it asks before steps leave the screen"
        await press(pilot, "c")
        assert asked == [("wanda:0.5", 3)]
        assert app.source is source


# Comparing.


@asynccontextmanager
async def comparing(size: tuple[int, int] = MIDDLE) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    async with browsing(size=size) as (app, pilot):
        for name in ("half.jsonl", "third.jsonl"):
            choose(app, name)
            await press(pilot, "space")
        await press(pilot, "c")
        assert isinstance(app.screen, ComparisonScreen)
        yield app, pilot


@pytest.mark.parametrize("size", [SMALL, MIDDLE, (160, 45)])
async def test_marked_recordings_are_set_side_by_side(folder: Path, size: tuple[int, int]) -> None:
    async with comparing(size) as (app, _):
        shown = screen_text(app)
        assert "━ wanda:0.5" in shown
        assert "┅ wanda:0.3" in shown
        assert "over the first 24 steps" in shown
        for name in ("ΣKL, shared context", "drift", "mean KL a step"):
            assert name in shown


async def test_one_marked_recording_is_not_a_comparison(folder: Path) -> None:
    async with browsing() as (app, pilot):
        choose(app, "half.jsonl")
        await press(pilot, "space", "c")
        assert isinstance(app.screen, Recordings)
        await press(pilot, "space")
        assert app.screen.query_one(RecordingList).marked == []


async def test_the_cursor_is_shared_by_texts_and_charts(folder: Path) -> None:
    async with comparing() as (app, pilot):
        screen = app.screen
        assert isinstance(screen, ComparisonScreen)
        await press(pilot, "g")
        parts = screen._compared.texts[1].diverges_at
        assert parts is not None
        assert screen.query_one(ComparedTexts)._cursor == parts
        charts = [chart.picture for chart in screen.query("Chart")]  # type: ignore[attr-defined]
        assert {picture.cursor for picture in charts} == {parts}
        await press(pilot, "right", "end")
        assert screen._cursor == 30


async def test_c_turns_to_the_other_models_text(folder: Path) -> None:
    async with comparing() as (app, pilot):
        assert "pruned text, token under token" in screen_text(app)
        await press(pilot, "c")
        assert "dense text, token under token" in screen_text(app)


async def test_tokens_of_a_step_stand_under_each_other(folder: Path) -> None:
    async with comparing() as (app, pilot):
        await press(pilot, "c")
        lines = app.screen.query_one(ComparedTexts)._text_lines()
        assert lines[0].startswith("━  In April")
        assert lines[1].startswith("┅  In April")
        assert lines[2] == ""


async def test_y_copies_the_whole_table(folder: Path) -> None:
    async with comparing() as (app, pilot):
        app.screen.query_one(ComparedFigures).focus()
        await press(pilot, "y", "y")
        first, *rows = app.clipboard.splitlines()
        assert first == "figure\tunit\twanda:0.5\twanda:0.3"
        assert rows[0] == "steps\t\t30\t24"


async def test_escape_goes_back_to_the_list(folder: Path) -> None:
    async with comparing() as (app, pilot):
        await press(pilot, "z", "escape")
        assert isinstance(app.screen, ComparisonScreen)
        await press(pilot, "escape")
        assert isinstance(app.screen, Recordings)


def test_differences_carry_their_sign() -> None:
    def write(value: float) -> str:
        return f"{value:g}"

    assert [difference(less, write) for less in (2.0, -1.5, 0.0, None, float("nan"))] == ["+2", "−1.5", "=", "", ""]


def test_labels_that_are_too_long_keep_what_tells_them_apart() -> None:
    assert narrowed(["wanda:0.5", "wanda:0.3"], 9) == ["wanda:0.5", "wanda:0.3"]
    assert narrowed(["wanda:0.5", "drop-attn@layers=20"], 9) == ["wanda:0.5", "drop-att…"]
    two = ["wanda:0.5 · 09-05-07", "wanda:0.5 · 10-00-00", "drop-attn@layers=20"]
    assert narrowed(two, 12) == ["… 09-05-07", "… 10-00-00", "drop-attn@l…"]
    assert narrowed(two, 8) == ["…9-05-07", "…0-00-00", "drop-at…"]


async def test_four_recordings_of_one_setting_can_be_told_apart_and_are_all_in_sight(folder: Path) -> None:
    names = [f"2026-03-01_0{hour}-05-07_wanda-0.5.jsonl" for hour in range(4)]
    for name in names:
        record(folder / name, "wanda:0.5", 12)
    async with browsing() as (app, pilot):
        app.compare([folder / name for name in names])
        await settle(pilot)
        figures = app.screen.query_one(ComparedFigures)
        head, steps, *_ = figures._text_lines()
        assert head.split() == [
            *("━", "…", "00-05-07"),
            *("┅", "…", "01-05-07", "Δ"),
            *("┈", "…", "02-05-07", "Δ"),
            *("╍", "…", "03-05-07", "Δ"),
        ]
        assert steps.split() == ["steps", "12", "12", "=", "12", "=", "12", "="]
        assert len(head) <= figures.content_size.width


async def test_values_and_differences_stand_under_their_headings(folder: Path) -> None:
    async with browsing() as (app, pilot):
        app.compare([folder / "half.jsonl", folder / "third.jsonl"])
        await settle(pilot)
        figures = app.screen.query_one(ComparedFigures)
        head, steps, *_ = figures._text_lines()
        ends = [head.index("wanda:0.5") + 9, head.index("wanda:0.3") + 9, head.index("Δ") + 1]
        values = [steps.index("30") + 2, steps.index("24") + 2, steps.index("−6") + 2]
        assert ends == values


async def test_the_charts_of_a_comparison_say_how_many_steps_there_are(folder: Path) -> None:
    record(folder / "a.jsonl", "wanda:0.5", 65)
    async with browsing() as (app, pilot):
        app.compare([folder / "a.jsonl", folder / "half.jsonl"])
        await settle(pilot)
        shown = screen_text(app)
        assert "steps 1–65" in shown
        assert "steps 1–68" not in shown


def test_points_fit_a_narrow_column() -> None:
    assert [closely(value) for value in (0.0005, 0.00088, 0.594, 1.0)] == ["0.050pt", "0.088pt", "59pt", "100pt"]
    assert closely(3.1e-20) == "3.1e-20"


async def test_the_table_marks_what_is_over_fewer_steps_and_tells_shares_in_points() -> None:
    from explorer.recordings.shipped import shipped_folder

    app = ExplorerApp(launcher=FakeLauncher(), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await listed(app, pilot)
        app.compare([shipped_folder() / f"{name}.jsonl" for name in ("collapse", "dropped-attention", "mild")])
        await settle(pilot)
        figures = app.screen.query_one(ComparedFigures)
        assert any(
            row.figure.label == "steps compared" and row.values == (14, 65, 65) for row in figures._compared.rows
        )  # type: ignore[union-attr]  # shown
        await press(pilot, "z")
        lines = figures._text_lines()
        rows = {line[1:27].strip(): line for line in lines}
        assert {name.split(",")[0] for name, line in rows.items() if line.startswith("*")} == {
            "ΣKL",
            "drift",
            "same top-1",
            "longest run",
        }
        assert rows["ΣKL, own contexts, nat"].split()[4:6] == ["67.6", "103"]
        assert rows["survival"].split()[-4:] == ["59", "%", "+59.4", "pt"]
        assert rows["same top-1"].split()[2:] == ["50", "%", "29", "%", "−21.4", "pt", "100", "%", "+50.0", "pt"]
        assert "are over the 14 steps" in " ".join(app.screen._notes())  # type: ignore[attr-defined]
        await press(pilot, "y", "y")
        assert app.clipboard.splitlines()[-1] == "* over 14 steps"
        assert "same top-1 *\t\t0.5\t" in app.clipboard


def test_steps_are_put_in_lines_by_their_widest_token() -> None:
    assert lines_of([3, 3, 3, 3], 7) == [[1, 2], [3, 4]]
    assert lines_of([9, 1], 7) == [[1], [2]]


def test_the_search_is_that_of_the_recordings(folder: Path) -> None:
    from explorer.recordings.library import recordings

    assert [one.path.name for one in matching(recordings(folder), "WANDA 0.5")] == ["half.jsonl"]


async def test_a_sweep_of_a_named_folder_is_listed_and_opens_but_is_not_compared(folder: Path) -> None:
    write_sweep(folder / "here", some_sweep(SETTINGS[:2], done=3))
    app = ExplorerApp(clock=Clock(), folder=folder / "here")
    async with app.run_test(size=SMALL) as pilot:
        await listed(app, pilot)
        assert "sweep, 3 of 8 cells: sweep.jsonl" in screen_text(app)
        assert "third.jsonl" not in screen_text(app)
        await press(pilot, "space")
        assert not app.screen.query_one(RecordingList).marked
        await press(pilot, "enter")
        await settle(pilot)
        assert isinstance(app.screen, SweepScreen)


async def test_recordings_that_come_with_the_program_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    record(tmp_path / "mine.jsonl", "wanda:0.5", 3)
    app = ExplorerApp(clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await listed(app, pilot)
        rows = [line for line in text_of_list(app) if "phier" in line]
        assert len(rows) == 4
        assert all("comes with phier" in row for row in rows)
        assert len(text_of_list(app)) > len(rows)


def text_of_list(app: ExplorerApp) -> list[str]:
    """The rows of the list, without its head."""
    return app.screen.query_one(RecordingList)._text_lines()[1:]
