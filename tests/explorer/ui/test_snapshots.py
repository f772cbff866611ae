"""The screen as it looks, at the three sizes it is designed for. `pytest --snapshot-update` accepts a new look."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from explorer.config.screen_options import GlyphSet
from explorer.recordings.library import ListedRun, recordings
from explorer.sources.recorder import Recorder
from explorer.sources.toy.step import Accidents
from explorer.ui import theme
from explorer.ui.app import ExplorerApp
from probes.schema.events import Failed, WorkProgressed
from probes.schema.requests import Run
from probes.schema.settings import Follow
from tests.support.launcher import NO_MODELS
from tests.support.snapshots import SIZES, Compare, Do, before, seen
from tests.support.stage import MIDDLE, SMALL, Clock, Waiting, explorer, listed, press, scripted, settle


@SIZES
def test_a_diverged_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, size, before(source, 42, running=True))


@SIZES
def test_a_run_on_one_context(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, size, before(source, 42, "g"))


@SIZES
def test_ready(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, size, before(source))


@SIZES
def test_looking_back_in_a_long_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(steps=400)
    assert seen(explorer(source), snap_compare, size, before(source, 300, "G", running=True))


@pytest.mark.parametrize("name", [theme.LIGHT, theme.CONTRAST, theme.TERMINAL])
def test_the_other_themes(snap_compare: Compare, name: str) -> None:
    source = scripted()
    assert seen(explorer(source, name), snap_compare, MIDDLE, before(source, 42, "g"))


@pytest.mark.parametrize("glyphs", [GlyphSet.BLOCKS, GlyphSet.ASCII])
@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
def test_the_other_glyphs(snap_compare: Compare, size: tuple[int, int], glyphs: GlyphSet) -> None:
    source = scripted()
    assert seen(explorer(source, glyphs=glyphs), snap_compare, size, before(source, 42, "g"))


def test_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    source = scripted()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 42, "g"))


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
def test_a_zoomed_space(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    assert seen(explorer(source), snap_compare, size, before(source, 42, "shift+tab", "shift+tab", "z"))


@pytest.mark.parametrize("key", ["u", "f", "p", "s", "x", "f1", "question_mark"])
def test_the_dialogs(snap_compare: Compare, key: str) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 30, key))


@pytest.mark.parametrize("key", ["s", "question_mark"])
def test_dialogs_on_a_small_terminal(snap_compare: Compare, key: str) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, SMALL, before(source, 30, key))


def test_where_to_fork(snap_compare: Compare) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 30, "enter"))


def test_a_tree_of_branches(snap_compare: Compare) -> None:
    source = scripted(Follow.DENSE)
    keys = ("left", "down", "enter", "left", "left", "down", "enter", "b")
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 30, *keys))


def test_a_step_with_nan(snap_compare: Compare) -> None:
    source = scripted(accidents=Accidents(invalid=20))
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 42, running=True))


def test_an_infinite_kl(snap_compare: Compare) -> None:
    source = scripted(accidents=Accidents(infinite=20))
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 42, "G"))


def test_one_model_has_ended(snap_compare: Compare) -> None:
    source = scripted(accidents=Accidents(dense_ends=30))
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 42))


def test_a_condition_is_met(snap_compare: Compare) -> None:
    source = scripted()

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        source.ask(Run(("kl>2",)))
        source.advance(60)
        await settle(pilot)

    assert seen(explorer(source), snap_compare, SMALL, do)


def test_a_recording(snap_compare: Compare) -> None:
    source = scripted(live=False)
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 42))


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
def test_a_download(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = Waiting()

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        for done in (41_000_000, 45_000_000):
            source.emit(WorkProgressed("Downloading SmolLM2-135M-Instruct", done, 112_000_000, "bytes"))
            await settle(pilot)

    assert seen(explorer(source), snap_compare, size, do)


def test_a_model_is_not_found(snap_compare: Compare) -> None:
    source = Waiting()

    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        source.emit(Failed("Model not found", "There is no folder “smol” here.", "Give a folder or a .gguf file."))
        await settle(pilot)

    assert seen(explorer(source), snap_compare, SMALL, do)


def test_calibrating_during_a_run(snap_compare: Compare) -> None:
    source = scripted()

    async def do(pilot: Pilot[int]) -> None:
        await before(source, 20)(pilot)
        for done in (1024, 2048):
            source.emit(WorkProgressed("Calibrating wanda:0.6", done, 4096, "tokens"))
            await settle(pilot)

    assert seen(explorer(source), snap_compare, MIDDLE, do)


def test_a_failure_during_a_run(snap_compare: Compare) -> None:
    source = scripted()

    async def do(pilot: Pilot[int]) -> None:
        await before(source, 20)(pilot)
        source.emit(Failed("Out of memory", "The pruned model needs 1.2 GB more.", "Try --dtype bfloat16."))
        await settle(pilot)

    assert seen(explorer(source), snap_compare, MIDDLE, do)


def test_too_small(snap_compare: Compare) -> None:
    source = scripted()
    assert seen(explorer(source), snap_compare, (50, 12), before(source, 5))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ListedRun]:
    """Three recordings with dates and places of their own."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name, setting, steps in (("half", "wanda:0.5", 40), ("third", "wanda:0.3", 32), ("drop", "drop-attn:2", 20)):
        source = scripted(setting=setting)
        source.open(Recorder(lambda _event: None, tmp_path / f"{name}.jsonl"))
        source.advance(steps)
    found = recordings(tmp_path)
    monkeypatch.setattr("explorer.ui.screens.recordings.library", lambda *_: found)
    monkeypatch.chdir(tmp_path)
    return [replace(one, path=Path(one.path.name)) for one in found]


def browsing(*keys: str) -> Do:
    async def do(pilot: Pilot[int]) -> None:
        assert isinstance(pilot.app, ExplorerApp)
        await listed(pilot.app, pilot)
        await press(pilot, *keys)
        pilot.app.screen.query("#search").set(disabled=True)
        await settle(pilot)

    return do


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
def test_the_recordings(
    snap_compare: Compare, shelf: list[ListedRun], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr("explorer.ui.screens.recordings.library", lambda *_: shelf)
    app = ExplorerApp(launcher=NO_MODELS, clock=Clock())
    assert seen(app, snap_compare, size, browsing("space", "down", "space"))


@SIZES
def test_recordings_side_by_side(snap_compare: Compare, shelf: list[ListedRun], size: tuple[int, int]) -> None:
    app = ExplorerApp(clock=Clock())
    keys = ("end", "space", "up", "space", "up", "space", "c", "g")
    assert seen(app, snap_compare, size, browsing(*keys))
