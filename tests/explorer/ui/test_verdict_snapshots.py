"""The screens about many items as they look, at the three sizes. `pytest --snapshot-update` accepts a new look."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from explorer.ui import theme
from explorer.ui.screens.passages import PassagesScreen
from probes.schema.settings import Follow
from tests.support.snapshots import SIZES, Compare, Do, seen
from tests.support.stage import MIDDLE, explorer, press, scripted, settle, until


def scored(source: object, items: int, *keys: str) -> Do:
    """The verdict screen with that many items scored, and then keys."""

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        source.advance(20)  # type: ignore[attr-defined]
        await press(pilot, "j", "r")
        source.score(items)  # type: ignore[attr-defined]
        await press(pilot, *keys)

    return do


@SIZES
def test_a_verdict(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, size, scored(source, 1000, "down", "down"))


def test_a_verdict_that_fills(snap_compare: Compare) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, MIDDLE, scored(source, 110))


@pytest.mark.parametrize("name", [theme.LIGHT, theme.TERMINAL])
def test_a_verdict_in_the_other_themes(snap_compare: Compare, name: str) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source, name), snap_compare, MIDDLE, scored(source, 1000, "end"))


def test_a_verdict_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, MIDDLE, scored(source, 1000))


@SIZES
def test_items(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, size, scored(source, 1000, "down", "enter", "s"))


@SIZES
def test_similarities(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE, setting="wanda:0.7")
    assert seen(explorer(source), snap_compare, size, scored(source, 1000, "down", "down", "enter", "g"))


def test_similarities_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    source = scripted(Follow.DENSE, setting="wanda:0.7")
    assert seen(explorer(source), snap_compare, MIDDLE, scored(source, 1000, "down", "down", "enter", "g"))


@SIZES
def test_passages(
    snap_compare: Compare, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("Of Peru it is said that the seat is Lima.", "utf-8")
    source = scripted(Follow.DENSE)

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        source.advance(20)
        await press(pilot, "P", "end", *["backspace"] * 7, *"text", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PassagesScreen), "the passages")
        await press(pilot, "down")

    assert seen(explorer(source), snap_compare, size, do)
