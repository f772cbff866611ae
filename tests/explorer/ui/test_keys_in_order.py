"""Keys that arrive together take effect in the order in which they were pressed, over fields and screens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from explorer.sources.chosen import read_recording
from explorer.sources.replay import ReplaySource
from explorer.state.view import Phase
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.recordings import Recordings
from explorer.ui.screens.until import AskUntil
from explorer.ui.screens.why import WhyScreen
from tests.support.launcher import FakeLauncher
from tests.support.stage import Clock, at_rest, listed, on_stage, opened, record, screen_text, scripted, settle, until


async def together(pilot: Pilot[int], *keys: str) -> None:
    """All of the keys are in the app's queue before it looks at the first."""
    for key in keys:
        pilot.app.post_message(Key(key, key if len(key) == 1 else "/" if key == "slash" else None))
    for _ in range(6):
        await settle(pilot)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a", "b", "backspace", "5", "0"], "a50"),
        (["o", "l", "d", "ctrl+u", "a", "b"], "ab"),
        (["o", "l", "d", "left", "y"], "olyd"),
        (["o", "l", "d", "home", "delete", "z"], "zld"),
    ],
)
async def test_keys_that_come_together_in_a_field_keep_their_order(keys: list[str], expected: str) -> None:
    app = ExplorerApp(launcher=FakeLauncher(lambda: scripted()), clock=Clock())
    async with app.run_test() as pilot:
        await listed(app, pilot)
        await together(pilot, "slash", *keys)
        assert app.screen.query_one("#search", Input).value == expected


async def test_letters_that_come_with_the_key_that_opens_a_search_are_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    monkeypatch.setattr("explorer.ui.screens.recordings._shipped", list)
    record(tmp_path / "half.jsonl", "wanda:0.5", 3)
    record(tmp_path / "third.jsonl", "wanda:0.3", 4)
    app = ExplorerApp(clock=Clock())
    async with app.run_test() as pilot:
        await listed(app, pilot)
        await together(pilot, "slash", *"third", "enter", "enter")
        await opened(app, pilot)
        assert app.view.newest == 4


async def test_letters_that_come_with_the_key_that_opens_a_dialog_are_written_in_it() -> None:
    async with on_stage(scripted(), 8) as (app, pilot):
        await together(pilot, "u", "ctrl+u", "a", "b", "left", "c")
        assert isinstance(app.screen, AskUntil)
        assert app.screen.query_one(Input).value == "acb"


@pytest.fixture
def read_later(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A recording is read only after this is set."""
    gate = threading.Event()

    def wait(chosen: Any, progress: Callable[[int], None]) -> Any:
        progress(0)
        while not gate.wait(0.01):
            progress(0)
        return read_recording(chosen, progress)

    monkeypatch.setattr("explorer.sources.replay.read_recording", wait)
    return gate


async def test_keys_that_come_while_a_recording_is_read_act_once_it_is_there(
    tmp_path: Path, read_later: threading.Event
) -> None:
    record(tmp_path / "half.jsonl", "wanda:0.5", 12)
    app = ExplorerApp(ReplaySource(tmp_path / "half.jsonl"), clock=Clock())
    async with app.run_test() as pilot:
        await until(pilot, lambda: "act once it is there" in screen_text(app), "it says that keys wait")
        await together(pilot, "home", "d")
        assert isinstance(app.screen, MainScreen)
        assert app.view.header is None
        read_later.set()
        await until(pilot, lambda: isinstance(app.screen, WhyScreen), "why this token")
        assert (app.view.cursor, app.view.newest) == (1, 12)


async def test_escape_does_not_wait_while_a_recording_is_read(tmp_path: Path, read_later: threading.Event) -> None:
    record(tmp_path / "half.jsonl", "wanda:0.5", 12)
    app = ExplorerApp(ReplaySource(tmp_path / "half.jsonl"), clock=Clock())
    async with app.run_test() as pilot:
        await together(pilot, "d", "escape")
        await at_rest(app, pilot)
        assert app.view.phase is Phase.FAILED
        assert isinstance(app.screen, MainScreen)


async def test_keys_after_one_that_closes_a_screen_reach_the_screen_below() -> None:
    async with on_stage(scripted(), 8) as (app, pilot):
        await together(pilot, "o", "escape", "left", "left")
        assert isinstance(app.screen, MainScreen)
        assert app.view.cursor == app.view.newest - 2


async def test_what_is_pasted_waits_for_the_keys_before_it() -> None:
    async with on_stage(scripted(), 8) as (app, pilot):
        app.post_message(Key("u", "u"))
        app.post_message(Key("ctrl+u", None))
        app.post_message(Paste("~/run"))
        await together(pilot, "2")
        assert app.screen.query_one(Input).value == "~/run2"


async def test_a_key_is_handed_on_at_once_when_nothing_is_under_way() -> None:
    async with on_stage(scripted(), 8) as (app, pilot):
        for _ in range(3):
            await pilot.press("o")
            assert isinstance(app.screen, Recordings)
            await pilot.press("escape")
            assert isinstance(app.screen, MainScreen)
