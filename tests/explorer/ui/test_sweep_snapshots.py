"""The sweep screen as it looks. `pytest --snapshot-update` accepts a new look."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from explorer.ui import theme
from explorer.ui.app import ExplorerApp
from tests.support.formula_sweep import SETTINGS, TASKS, some_sweep
from tests.support.snapshots import SIZES, Compare, Do, seen
from tests.support.stage import MIDDLE, Clock, look_in, press, settle
from tests.support.swept import ScriptedSweep


def app_of(source: ScriptedSweep, name: str = theme.DARK) -> ExplorerApp:
    return ExplorerApp(source, look=look_in(name), clock=Clock())


def keys(*pressed: str) -> Do:
    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        await press(pilot, *pressed)

    return do


@SIZES
def test_a_heat_map(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert seen(app_of(ScriptedSweep(some_sweep())), snap_compare, size, keys("down", "down", "down"))


@pytest.mark.parametrize("view", [("c",), ("c", "a"), ("p", "right")], ids=["curves", "together", "pareto"])
def test_a_view(snap_compare: Compare, view: tuple[str, ...]) -> None:
    assert seen(app_of(ScriptedSweep(some_sweep())), snap_compare, MIDDLE, keys(*view, "down", "down"))


def test_a_heat_map_that_fills_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    part = some_sweep(SETTINGS, (*TASKS, "prompt 1"), done=33, errors=(4, 17))
    running = frozenset(str(cell.key) for cell in part.header.cells[33:35])
    assert seen(app_of(ScriptedSweep(part, running)), snap_compare, MIDDLE, keys("down"))


def test_a_heat_map_in_the_light_theme(snap_compare: Compare) -> None:
    assert seen(app_of(ScriptedSweep(some_sweep()), theme.LIGHT), snap_compare, MIDDLE, keys("f", "f", "down"))
