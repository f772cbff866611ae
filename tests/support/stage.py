"""For tests of screens: the explorer on a scripted source, with a clock that moves only when it is read."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static

from explorer.config.screen_options import GlyphSet, ScreenOptions
from explorer.sources.recorder import Recorder
from explorer.sources.toy.source import ToySource
from explorer.ui import theme
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.main import MainScreen
from explorer.ui.widgets.line_widget import LineWidget
from explorer.ui.widgets.recording_list import RecordingList
from probes.schema.settings import Follow, RunSettings

SMALL, MIDDLE, LARGE = (80, 24), (120, 36), (160, 45)
MARKS = re.compile("[\ue000-\uf8ff]")
"""Characters for private use, which mark keys and places in a sentence and are never shown."""
PROMPT = "How many clips did Natalia sell?"


class Clock:
    """Every look at it is a tenth of a second later than the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def look_in(theme_name: str, glyphs: GlyphSet = GlyphSet.BRAILLE) -> ScreenOptions:
    """The look with this theme."""
    return ScreenOptions(next(choice for choice, name in theme.OF_CHOICE.items() if name == theme_name), glyphs)


def explorer(source: ToySource, theme_name: str = theme.DARK, glyphs: GlyphSet = GlyphSet.BRAILLE) -> ExplorerApp:
    return ExplorerApp(source, look=look_in(theme_name, glyphs), clock=Clock())


def scripted(follow: Follow = Follow.FREE, steps: int = 128, **more: Any) -> ToySource:
    text = "So she sold 72 clips." if follow is Follow.TEXT else ""
    return ToySource(RunSettings(PROMPT, follow=follow, text=text, steps=steps), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def on_stage(
    source: ToySource, steps: int = 0, size: tuple[int, int] = MIDDLE
) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    """The running app after that many steps, paused."""
    app = explorer(source)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if steps:
            source.advance(steps)
        await settle(pilot)
        yield app, pilot


async def settle(pilot: Pilot[int]) -> None:
    """Until what arrived is on the screen."""
    await pilot.pause()
    await pilot.pause()
    check_marks(pilot.app)


def check_marks(app: App[Any]) -> None:
    """Fails if a widget, a frame or a notice shows one of the program's own marks, such as that of a key."""
    shown = [one.message + one.title for one in app._notifications]
    for widget in app.screen.walk_children(Widget):
        shown += [str(widget.border_title or ""), str(widget.border_subtitle or "")]
        if isinstance(widget, LineWidget):
            shown += [text for line in widget._lines or () for text, _ in line]
        elif isinstance(widget, Static):
            shown.append(str(widget.content))
    found = [text for text in shown if MARKS.search(text)]
    assert not found, f"a mark of the program's own is shown: {found}"


async def at_rest(app: ExplorerApp, pilot: Pilot[int]) -> None:
    """Until the source has answered everything that was asked of it, and that is on the screen."""
    await settle(pilot)
    assert await asyncio.to_thread(app.source.wait_idle, 20)
    await settle(pilot)


async def press(pilot: Pilot[int], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await settle(pilot)


def text_of(app: ExplorerApp, selector: str) -> str:
    """A region's text, as plain lines."""
    region = app.main.query_one(selector)
    drawn = region if isinstance(region, LineWidget) else region.query(LineWidget).first()
    return "\n".join(drawn._text_lines())


def screen_text(app: ExplorerApp) -> str:
    """The whole screen as plain lines."""
    strips = app.screen._compositor.render_strips()
    text = "\n".join(strip.text.rstrip() for strip in strips)
    assert not MARKS.search(text), "a key is not filled into its sentence"
    return text


class Waiting(ToySource):
    """Never ready."""

    def begin(self, request: int = 0) -> None:
        pass


async def until(pilot: Pilot[int], done: Callable[[], bool], what: str) -> None:
    """Waits for what another thread does, and until it is on the screen; fails if it never happens."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, f"never: {what}"
        await pilot.pause(0.01)
    await settle(pilot)


async def opened(app: ExplorerApp, pilot: Pilot[int]) -> None:
    """Waits until a recording is on the main screen."""
    await at_rest(app, pilot)
    assert isinstance(app.screen, MainScreen)
    assert app.view.newest


async def listed(app: ExplorerApp, pilot: Pilot[int]) -> None:
    """Waits until the list of recordings is on the screen."""
    await until(pilot, lambda: any(found._found is not None for found in app.screen.query(RecordingList)), "the list")


def record(path: Path, setting: str, steps: int) -> None:
    """Writes a recording of the scripted models in `free`."""
    source = ToySource(RunSettings(PROMPT, follow=Follow.FREE), setting=setting)
    source.open(Recorder(lambda _event: None, path))
    source.advance(steps)
