"""A recording that the disk refuses is saved elsewhere from the screen, whole, and goes on there."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from explorer.sources.recorder import RecordedSource
from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.dialog import MessageDialog
from probes.recording import read
from tests.support.launcher import FakeLauncher
from tests.support.stage import MIDDLE, Clock, press, screen_text, settle


def recorded(source: ToySource, path: Path) -> tuple[ExplorerApp, RecordedSource]:
    shown = RecordedSource(source, path)
    recorder = shown.recorder
    return ExplorerApp(shown, launcher=FakeLauncher(unsaved=recorder.unsaved, save=recorder.save), clock=Clock()), shown


async def test_all_that_was_measured_and_what_follows_is_in_the_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    source = ToySource()
    app, _ = recorded(source, tmp_path / "first.jsonl")
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        source.advance(5)
        await press(pilot, "S")
        app.screen.query_one(Input).value = "~/second.jsonl"
        await press(pilot, "enter")
        source.advance(3)
        await settle(pilot)
        assert f"{tmp_path / 'second.jsonl'}" in "".join(n.message for n in app._notifications)
        await press(pilot, "q")
    assert len(read(tmp_path / "second.jsonl").last.path) == 8
    assert len(read(tmp_path / "first.jsonl").last.path) == 5


async def test_a_file_that_is_there_is_told_while_typing_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("mine")
    app, _ = recorded(ToySource(), tmp_path / "first.jsonl")
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "S")
        app.screen.query_one(Input).value = str(tmp_path / "mine.jsonl")
        await press(pilot, "enter")
        assert "never overwritten" in screen_text(app)
        await press(pilot, "escape")
    assert (tmp_path / "mine.jsonl").read_text() == "mine"


@pytest.mark.parametrize("refuses", ["{}/file/below.jsonl", "~nobody-of-this-name/mine.jsonl"])
async def test_a_place_that_refuses_it_too_is_said_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody-of-this-name").write_text("")
    source = ToySource()
    app, shown = recorded(source, tmp_path / "first.jsonl")
    (tmp_path / "file").write_text("")
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "S")
        app.screen.query_one(Input).value = refuses.format(tmp_path)
        await press(pilot, "enter")
        assert isinstance(app.screen, MessageDialog)
        await press(pilot, "escape")
        source.advance(2)
        await settle(pilot)
        assert shown.recorder.path == tmp_path / "first.jsonl"
        assert shown.recorder.unsaved() == ""


async def test_whoever_would_lose_steps_by_quitting_can_save_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ToySource()
    app, shown = recorded(source, tmp_path / "first.jsonl")
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        monkeypatch.setattr(app._launcher, "unsaved", lambda: "5 lines are not recorded: the disk is full.")
        await press(pilot, "q", "e")
        app.screen.query_one(Input).value = str(tmp_path / "second.jsonl")
        await press(pilot, "enter")
        assert shown.recorder.path == tmp_path / "second.jsonl"


async def test_a_recording_has_nothing_to_save() -> None:
    app = ExplorerApp(ToySource(live=False), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "S")
        assert app.screen is app.main
