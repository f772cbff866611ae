"""Lines that are put together from what was there before are those that would be made from nothing."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual._styles_cache import StylesCache
from textual.geometry import Offset
from textual.message_pump import MessagePump
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets._toast import Toast

import explorer.ui
from explorer.ui.app import ExplorerApp
from explorer.ui.widgets.chart import Chart
from explorer.ui.widgets.line_compositor import LineUpdate, PlacedLine
from explorer.ui.widgets.line_widget import LineWidget
from explorer.ui.widgets.next_tokens import NextTokens
from explorer.ui.widgets.repaint_cache import VARIABLE, RepaintCache
from explorer.ui.widgets.text_panel import TextPanel
from probes.schema.settings import Follow
from tests.support.stage import LARGE, MIDDLE, SMALL, on_stage, press, scripted, settle
from tests.support.stage import explorer as make_explorer

KEYS = ("left", "left", "down", "tab", "n", "g", "down", "z", "n", "z", "end", "t", "n", "t", "right", "v", "n", "x")
"""Changes of every kind: the cursor, a row, the focus, a step, jumps, a zoom, themes, contexts, a dialog."""


def segments(strips: list[Strip]) -> list[list[Segment]]:
    return [list(strip.simplify()) for strip in strips]


def made_anew(widget: Widget) -> list[list[Segment]]:
    """Its lines as Textual makes them with nothing remembered; what it remembers is left alone."""
    remembered = dict(vars(widget))
    widget._styles_cache = StylesCache()
    if isinstance(widget, LineWidget):
        widget._lines = widget._base = None
        widget._full, widget._strips = {}, {}
    if isinstance(widget, TextPanel):
        widget._kept = {}
    found = segments(Widget.render_lines(widget, widget.outer_size.region))
    vars(widget).update(remembered)
    return found


def in_sight(app: ExplorerApp) -> list[RepaintCache]:
    return [widget for widget in app.screen._compositor.visible_widgets if isinstance(widget, RepaintCache)]


@pytest.mark.parametrize(("size", "colours"), [(SMALL, True), (MIDDLE, True), (LARGE, True), (SMALL, False)], ids=str)
async def test_what_is_shown_is_what_would_be_made_anew(
    size: tuple[int, int], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    reused = 0
    async with on_stage(scripted(Follow.FREE), steps=40, size=size) as (app, pilot):
        for key in KEYS:
            before = {widget: widget._given for widget in in_sight(app)}
            await press(pilot, key)
            for widget in in_sight(app):
                was, given = before.get(widget), widget._given
                assert given is not None
                reused += was is not None and was[2] is given[2]
                assert segments(given[2]) == made_anew(widget), (key, widget)
    assert reused > 10 * len(KEYS)


@pytest.mark.parametrize("colours", [True, False])
async def test_a_selection_is_seen_on_every_ground(colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    async with on_stage(scripted(Follow.FREE), steps=40) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        app.screen.selections = {text: Selection(Offset(2, 1), Offset(9, 2))}
        for key in ("n", "left", "t", "n"):
            await press(pilot, key)
            assert text._given is not None
            lines = segments(text._given[2])
            assert lines == made_anew(text), key
            chosen = ["".join(s.text for s in line if s.style and s.style.reverse) for line in lines[2:4]]
            left = text.content_offset.x
            whole = ["".join(s.text for s in line)[left:-left] for line in lines[2:4]]
            assert (chosen[0].rstrip(), chosen[1]) == (whole[0][2:].rstrip(), whole[1][:9])


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_a_terminal_has_what_a_screen_composed_anew_has(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a dialog or a notice covers lines that change."""
    cells: dict[tuple[int, int], tuple[str, Style | None]] = {}
    lines_sent = 0

    def send(app: ExplorerApp, _screen: object, update: object) -> None:
        nonlocal lines_sent
        composed = app.screen._compositor.render_strips()
        if isinstance(update, LineUpdate):
            lines_sent += len(update.lines)
            spread(cells, update.lines)
        elif isinstance(update, ChopsUpdate):
            spread(cells, [(x1, y, composed[y].crop(x1, x2)) for y, x1, x2 in update.spans])
        elif update is not None:
            spread(cells, [(0, y, strip) for y, strip in enumerate(composed)])

    monkeypatch.setattr(ExplorerApp, "_display", send)
    app = make_explorer(scripted(Follow.FREE))
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        app.source.advance(97)  # type: ignore[attr-defined]  # a toy's
        for key in (*KEYS, "escape", "n", "n", "", "n", "left", "n", "end", "n", "n"):
            if key:
                await press(pilot, key)
            else:
                app.notify("in front of the panels", timeout=3600)
                await settle(pilot)
            composed: dict[tuple[int, int], tuple[str, Style | None]] = {}
            spread(composed, [(0, y, strip) for y, strip in enumerate(app.screen._compositor.render_strips())])
            assert cells == composed, key
        assert app.main.query(Toast)
    assert lines_sent > 5 * len(KEYS)


def spread(cells: dict[tuple[int, int], tuple[str, Style | None]], lines: Sequence[PlacedLine]) -> None:
    """Writes lines into the cells of a terminal."""
    for x, y, strip in lines:
        for segment in strip:
            for character in segment.text:
                for covered in range(cell_len(character)):
                    cells[x, y] = "" if covered else character, segment.style
                    x += 1


async def test_a_widget_that_is_gone_may_still_be_drawn() -> None:
    async with on_stage(scripted(Follow.FREE), steps=40) as (app, _):
        table = app.main.query_one(NextTokens)
        assert table.display
        before = table._lines
        body = app.main.query_one("#body")
        body._detach()  # as while it is being removed
        table.move(1)
        assert table._lines != before
        body._attach(app.main)


async def test_the_frames_words_follow_the_theme() -> None:
    async with on_stage(scripted(Follow.FREE), steps=40) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        for _ in range(4):
            assert text._given is not None
            [split] = [s for line in text._given[2] for s in line if s.text.startswith("┆ split")]
            assert split.style is not None
            assert split.style.color == (text.palette.split.color or Color.default())
            await press(pilot, "t")


async def test_a_step_more_among_hundreds_makes_few_lines_anew() -> None:
    """Of charts as high as a screen, those lines that a dot has moved in."""
    async with on_stage(scripted(Follow.FREE, steps=1100), steps=1000, size=LARGE) as (app, pilot):
        charts = [chart for chart in app.main.query(Chart) if chart.display]
        before = {chart: chart._lines for chart in charts}
        await press(pilot, "n")
        assert app.view.newest == 1001
        assert sum(before[chart] is not chart._lines for chart in charts) < len(charts)


async def test_without_the_cache_every_screen_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: dict[bool, list[list[list[Segment]]]] = {}
    for cached in (True, False):
        monkeypatch.setattr(RepaintCache, "CACHED", cached)
        pictures[cached] = []
        async with on_stage(scripted(Follow.FREE), steps=40) as (app, pilot):
            for key in KEYS:
                await press(pilot, key)
                pictures[cached].append(segments(app.screen._compositor.render_strips()))
            assert any(widget._given for widget in app.main.query(RepaintCache)) is cached
    for key, with_it, without in zip(KEYS, pictures[True], pictures[False], strict=True):
        assert with_it == without, key


@pytest.mark.parametrize(("value", "cached"), [("0", "False"), ("1", "True"), (None, "True")])
def test_a_variable_switches_the_cache_off(value: str | None, cached: str) -> None:
    environment = {name: set_to for name, set_to in os.environ.items() if name != VARIABLE}
    if value is not None:
        environment[VARIABLE] = value
    code = "from explorer.ui.widgets.repaint_cache import RepaintCache; print(RepaintCache.CACHED)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == cached


def test_nothing_else_overrides_a_private_part_of_textual() -> None:
    for module in pkgutil.walk_packages(explorer.ui.__path__, "explorer.ui."):
        importlib.import_module(module.name)
    found = {
        (cls.__name__, name)
        for cls in _below(MessagePump)
        for name, value in vars(cls).items()
        if cls.__module__.startswith("explorer.") and inspect.isfunction(value) and name[0] == "_" != name[1]
        if any(name in vars(base) for base in cls.__mro__[1:] if base.__module__.startswith("textual."))
    }
    assert found == {("RepaintCache", "_set_dirty")}


def _below(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)
