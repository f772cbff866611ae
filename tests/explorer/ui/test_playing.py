"""Playing a recording: speed, loop, everything at once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from explorer.recordings.shipped import shipped_folder
from explorer.sources.playback import SPEEDS, next_speed, speed_in_words
from explorer.sources.replay import ReplaySource
from explorer.state.view import View
from explorer.ui.app import ExplorerApp
from explorer.ui.widgets.status import sentence
from explorer.words.pauses import pause_sentence
from probes.schema.events import Event, PlaybackChanged, RunPaused, RunStarted, StepMeasured, Why
from probes.schema.record import Invalid
from tests.support.keys import usual
from tests.support.records import recorded_events, write_events
from tests.support.stage import MIDDLE, SMALL, Clock, at_rest, on_stage, press, scripted, text_of


def recording(tmp_path: Path, seconds: float = 0.16) -> Path:
    """Twelve steps, each of which took so long."""
    events: list[Event] = [
        replace(event, seconds=seconds) if isinstance(event, StepMeasured) else event for event in recorded_events(12)
    ]
    return write_events(tmp_path / "run.jsonl", events)


@asynccontextmanager
async def playing(
    source: ReplaySource, size: tuple[int, int] = MIDDLE
) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    """The app once the recording is read and, where it was opened to look at, shown."""
    app = ExplorerApp(source, clock=Clock())
    async with app.run_test(size=size) as pilot:
        await at_rest(app, pilot)
        yield app, pilot


def playback(speed: float | None, measured: float = 6.2, loop: bool = False) -> PlaybackChanged:
    return PlaybackChanged(speed, measured, loop, (), 1)


@pytest.mark.parametrize(
    ("chosen", "faster", "after"),
    [
        (None, True, 8.0),
        (None, False, 4.0),
        (8.0, True, 16.0),
        (8.0, False, None),
        (4.0, True, None),
        (5.0, False, 4.0),
        (32.0, True, 32.0),
        (100.0, True, 100.0),
        (1.0, False, 1.0),
    ],
)
def test_faster_is_faster_and_slower_is_slower(chosen: float | None, faster: bool, after: float | None) -> None:
    assert next_speed(playback(chosen), faster) == after


@pytest.mark.parametrize("measured", [0.2, 1.0, 6.2, 8.0, 500.0, math.inf])
def test_every_press_changes_the_speed_until_there_is_no_other(measured: float) -> None:
    """Wherever the recording's own speed stands among the paces."""
    speed = None
    for faster in (True, False):
        rates = [measured if speed is None else speed]
        while (after := next_speed(playback(speed, measured), faster)) != speed:
            speed = after
            rates.append(measured if speed is None else speed)
        assert rates == sorted(set(rates), reverse=not faster)
        assert rates[-1] == (max if faster else min)(*SPEEDS, measured)


def test_the_speed_is_told_in_words() -> None:
    assert speed_in_words(playback(None)) == "as fast as measured"
    assert speed_in_words(playback(1.0)) == "1 step a second"
    assert speed_in_words(playback(2.0, loop=True)) == "2 steps a second, over and over"


def speed(app: ExplorerApp) -> tuple[float | None, float]:
    assert app.view.playback is not None
    return app.view.playback.speed, app.view.playback.measured


async def test_brackets_change_the_speed_and_a_plays_again_and_again(tmp_path: Path) -> None:
    source = ReplaySource(recording(tmp_path, seconds=0.4), play=True)
    async with playing(source) as (app, pilot):
        await press(pilot, "space", "left_square_bracket")
        assert speed(app) == (2.0, 2.5)
        assert text_of(app, "Status").strip() == "Plays 2 steps a second."
        await press(pilot, "left_square_bracket")
        assert text_of(app, "Status").strip() == "Plays 1 step a second."
        await press(pilot, "a")
        assert app.view.playback is not None
        assert app.view.playback.loop
        assert text_of(app, "Status").strip() == "Plays 1 step a second, over and over."
        await press(pilot, "right_square_bracket", "right_square_bracket")
        assert speed(app) == (None, 2.5)
        await press(pilot, "right_square_bracket")
        assert speed(app) == (4.0, 2.5)


async def test_e_shows_the_rest_at_once(tmp_path: Path) -> None:
    async with playing(ReplaySource(recording(tmp_path), play=True)) as (app, pilot):
        await press(pilot, "n", "n", "left", "e")
        assert app.view.cursor == 12


async def test_a_recording_opens_at_the_last_step_that_has_figures() -> None:
    """The dense text of this one ends at step 65, so that the 31 steps after it compare nothing."""
    async with playing(ReplaySource(shipped_folder() / "dropped-attention.jsonl")) as (app, pilot):
        assert (app.view.cursor, app.view.newest) == (65, 96)
        assert app.view.record is not None
        assert app.view.record.shared is not None
        await press(pilot, "end")
        assert (app.view.cursor, app.view.following) == (96, True)


async def test_a_recording_with_figures_to_the_end_opens_there() -> None:
    async with playing(ReplaySource(shipped_folder() / "collapse.jsonl")) as (app, _):
        assert (app.view.cursor, app.view.following) == (65, True)


async def test_a_recording_that_is_played_is_followed_to_its_newest_step() -> None:
    source = ReplaySource(shipped_folder() / "dropped-attention.jsonl", play=True, pace=10_000.0)
    async with playing(source) as (app, pilot):
        await press(pilot, "space")
        await at_rest(app, pilot)
        assert (app.view.cursor, app.view.following) == (96, True)


async def test_a_live_run_knows_no_speed() -> None:
    source = scripted()
    async with on_stage(source, 5) as (_, pilot):
        await press(pilot, "right_square_bracket", "a", "e")
        assert source.pace is None
        assert source.asked == []


async def test_the_keys_that_play_are_all_told_on_a_small_terminal(tmp_path: Path) -> None:
    async with playing(ReplaySource(recording(tmp_path)), size=SMALL) as (app, pilot):
        for loop in ("a loop", "a once"):
            shown = text_of(app, "Status").rstrip()
            assert shown.endswith(f"Space plays as measured; [ ] speed, {loop}, e end.")
            await press(pilot, "a")


@pytest.mark.parametrize("pace", [None, 1.0, 32.0])
@pytest.mark.parametrize(
    "pause",
    [
        RunPaused(1, Why.RECORDED),
        RunPaused(1, Why.ENDED, 65),
        RunPaused(1, Why.INVALID, 3, invalid=Invalid("pruned", "model.layers.3.self_attn.o_proj" * 4)),
    ],
)
def test_a_long_reason_gives_way_to_the_keys(pause: RunPaused, pace: float | None) -> None:
    view = View(live=False)
    view.apply(playback(pace))
    for event in recorded_events(3):
        if isinstance(event, (RunStarted, StepMeasured)):
            view.apply(event)
    view.apply(pause)
    said = sentence(view, 79, usual)
    assert cell_len(said) <= 79
    assert said.endswith("; [ ] speed, a loop, e end.")
    whole = pause_sentence(pause)
    assert said.startswith(whole[:20])
    assert whole in said or pause.why is Why.INVALID
