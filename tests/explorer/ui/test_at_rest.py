"""Nothing is painted while nothing happens: at rest no byte goes to the terminal, whatever time passes.

Motion is reduced: otherwise the cursor in a field blinks."""

from __future__ import annotations

import asyncio

import pytest
from textual.timer import Timer

from explorer.bench.interface import CountingDriver
from explorer.config.screen_options import Motion, ScreenOptions
from explorer.ui.app import ExplorerApp
from explorer.ui.widgets.line_widget import LineWidget
from probes.schema.settings import Follow
from tests.support.quiet import quiet
from tests.support.stage import MIDDLE, Clock, press, scripted, settle

STILL = ScreenOptions(motion=Motion.REDUCED)
LATER = 5
"""How often every timer that is due some time fires."""


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    """Every timer that has been started, so that a test fires it in place of the clock."""
    found: list[Timer] = []
    start = Timer._start

    def kept(timer: Timer) -> None:
        found.append(timer)
        start(timer)

    monkeypatch.setattr(Timer, "_start", kept)
    return found


@pytest.mark.parametrize("keys", [("left",), ("question_mark",), ("j",), ("x",)])
async def test_a_screen_at_rest_writes_nothing(keys: tuple[str, ...], timers: list[Timer]) -> None:
    app = ExplorerApp(scripted(Follow.FREE), clock=Clock(), driver=CountingDriver, look=STILL)
    async with app.run_test(headless=False, size=MIDDLE) as pilot:
        await settle(pilot)
        app.source.advance(30)  # type: ignore[attr-defined]  # a toy's
        await press(pilot, *keys)
        before = CountingDriver.written
        assert before > 0
        drawn = [(widget, widget._lines) for widget in app.screen.query(LineWidget)]
        await later(timers)
        assert CountingDriver.written == before
        assert all(widget._lines is lines for widget, lines in drawn)


async def test_a_timer_that_repaints_would_be_seen(timers: list[Timer]) -> None:
    app = ExplorerApp(scripted(Follow.FREE), clock=Clock(), driver=CountingDriver, look=STILL)
    async with app.run_test(headless=False, size=MIDDLE) as pilot:
        await settle(pilot)
        app.source.advance(30)  # type: ignore[attr-defined]  # a toy's
        await settle(pilot)
        app.set_interval(3600, app.main.query(LineWidget).first().refresh)
        before = CountingDriver.written
        await later(timers)
        assert CountingDriver.written > before


async def later(timers: list[Timer]) -> None:
    """All timers fire again and again, as they do while time passes."""
    for _ in range(LATER):
        for timer in timers:
            if timer._active.is_set() and timer._task is not None and not timer._task.done():
                await timer._tick(next_timer=0, count=1)
        await quiet()
        await asyncio.sleep(0)
