"""The shipped recordings as they look: on the main screen, and set side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from explorer.recordings.library import recordings
from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
from explorer.sources.replay import ReplaySource
from explorer.ui.app import ExplorerApp
from tests.support.launcher import NO_MODELS
from tests.support.snapshots import SIZES, Compare
from tests.support.stage import LARGE, MIDDLE, SMALL, Clock, at_rest, press, settle

Do = Callable[[Pilot[int]], Awaitable[None]]


def showing(*keys: str) -> Do:
    """Once the whole recording is on the screen, after these keys."""

    async def do(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, ExplorerApp)
        await at_rest(app, pilot)
        await press(pilot, *keys)

    return do


def opened(name: str) -> ExplorerApp:
    return ExplorerApp(ReplaySource(shipped_folder() / name), launcher=NO_MODELS, clock=Clock())


@SIZES
def test_the_collapse_at_its_split(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(opened(DEMO_RECORDING), terminal_size=size, run_before=showing("g"))


@pytest.mark.parametrize("name", ["dropped-attention.jsonl", "mild.jsonl"])
def test_the_others_at_their_end(snap_compare: Compare, name: str) -> None:
    assert snap_compare(opened(name), terminal_size=MIDDLE, run_before=showing())


def test_the_worst_step_of_the_loop(snap_compare: Compare) -> None:
    assert snap_compare(opened("dropped-attention.jsonl"), terminal_size=LARGE, run_before=showing("G"))


@SIZES
def test_all_of_them_side_by_side(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = ExplorerApp(clock=Clock())

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        app.compare([one.path for one in sorted(recordings(shipped_folder()), key=lambda one: one.path.name)])
        await settle(pilot)
        await press(pilot, "g")

    assert snap_compare(app, terminal_size=size, run_before=do)


def test_a_small_terminal_offers_the_models(snap_compare: Compare) -> None:
    assert snap_compare(opened("mild.jsonl"), terminal_size=SMALL, run_before=showing("home"))
