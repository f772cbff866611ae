"""Every run of a recording is listed, opened, compared and named, not only the last one."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.recordings.comparison import compare_recordings
from explorer.recordings.export import export_recordings
from explorer.recordings.library import recordings, runs_of
from explorer.sources.chosen import Chosen, chosen
from explorer.sources.recorder import Recorder
from explorer.sources.replay import ReplaySource
from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.compare import ComparisonScreen
from explorer.ui.screens.recordings import Recordings
from probes.recording import read
from probes.schema.errors import BadInput
from probes.schema.events import Event, RunStarted
from probes.schema.prune_setting import parse
from probes.schema.requests import Prune
from probes.schema.settings import Follow, RunSettings
from tests.support.records import recorded_events, write_events
from tests.support.shell import phier
from tests.support.stage import PROMPT, Clock, at_rest, listed, press, screen_text


def numbered(events: list[Event], run: int, prompt: str = "") -> list[Event]:
    """The events as those of that run, on another prompt where one is given."""
    found = []
    event: Any
    for event in events:
        if isinstance(event, RunStarted) and prompt:
            event = replace(event, header=replace(event.header, settings=replace(event.header.settings, prompt=prompt)))
        found.append(replace(event, run=run) if hasattr(event, "run") else event)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sitting of four runs: two settings, another prompt, and one that was not stepped."""
    events = [
        *recorded_events(12, setting="wanda:0.2"),
        *numbered(recorded_events(9, setting="wanda:0.6"), 2),
        *numbered(recorded_events(7, setting="wanda:0.6"), 3, "Why is the sky blue?"),
        *numbered(recorded_events(1)[:1], 4),
    ]
    return write_events(tmp_path / "sitting.jsonl", events)


def test_every_run_with_steps_is_listed_as_it_was(file: Path) -> None:
    found = runs_of(file)
    assert [(one.run, one.runs, one.setting, one.steps) for one in found] == [
        (1, 4, "wanda:0.2", 12),
        (2, 4, "wanda:0.6", 9),
        (3, 4, "wanda:0.6", 7),
    ]
    assert [one.kl for one in found] == [run.path[-1].sum.kl_shared for run in read(file).runs[:3]]
    assert found[2].prompt == "Why is the sky blue?"
    assert [one.chosen.run for one in recordings(file.parent)] == [3, 2, 1]


def test_a_recording_of_one_run_needs_no_number(tmp_path: Path) -> None:
    (one,) = runs_of(write_events(tmp_path / "one.jsonl", recorded_events(4)))
    assert one.chosen == Chosen(one.path)


def test_files_that_were_joined_hold_the_runs_of_both(tmp_path: Path) -> None:
    parts = [recorded_events(steps, setting=setting) for steps, setting in ((5, "wanda:0.5"), (7, "magnitude:0.3"))]
    path = write_events(tmp_path / "joined.jsonl", [event for part in parts for event in part])
    found = [(one.setting, one.steps) for one in runs_of(path)]
    assert found == [("wanda:0.5", 5), ("magnitude:0.3", 7)]
    assert found == [(run.header.title, len(run.path)) for run in read(path).runs]


def test_runs_are_numbered_in_the_list_as_a_reader_numbers_them(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    second = next(place for place, line in enumerate(lines) if place and b'"kind":"header"' in line)
    lines[second] = b'{"kind":"header","fo\n'
    file.write_bytes(b"".join(lines))
    runs = read(file).runs
    assert [(one.run, one.steps) for one in runs_of(file)] == [(run.place, run.steps) for run in runs if run.steps]
    assert [one.header for one in runs_of(file)] == [run.header for run in runs if run.steps]


def test_a_last_step_that_can_not_be_read_leaves_the_one_before(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if b'"kind":"step"' in line and b'"run":1,' in line)
    lines[last] = lines[last][:90] + b"\n"
    file.write_bytes(b"".join(lines))
    assert [one.steps for one in runs_of(file)] == [11, 9, 7]


def test_a_run_is_named_behind_its_file_and_a_file_of_that_name_comes_first(tmp_path: Path) -> None:
    assert chosen("a/b.jsonl#2") == Chosen(Path("a/b.jsonl"), 2)
    assert chosen("a/b.jsonl") == Chosen(Path("a/b.jsonl"))
    assert chosen("a#b.jsonl") == Chosen(Path("a#b.jsonl"))
    assert str(Chosen(Path("a/b.jsonl"), 2)) == "a/b.jsonl#2"
    odd = tmp_path / "x#3"
    odd.write_text("")
    assert chosen(odd) == Chosen(odd)


def test_two_runs_of_one_file_are_compared(file: Path) -> None:
    found = compare_recordings([f"{file}#1", f"{file}#2"])
    assert [entry.label for entry in found.entries] == ["wanda:0.2", "wanda:0.6"]
    assert [len(entry.records) for entry in found.entries] == [12, 9]
    assert found.warnings == ()
    assert not any("holds" in note for note in found.notes)


def test_runs_of_one_setting_are_told_apart(file: Path) -> None:
    found = compare_recordings([f"{file}#2", f"{file}#3"])
    assert [entry.label for entry in found.entries] == ["wanda:0.6 · run 2", "wanda:0.6 · run 3"]


def test_without_a_number_the_last_run_is_meant_and_said(file: Path) -> None:
    found = compare_recordings([file, f"{file}#1"])
    assert len(found.entries[0].records) == 7
    assert "sitting.jsonl holds 4 runs; the last one is compared (sitting.jsonl#1 is the first)." in found.notes


@pytest.mark.parametrize("number", [0, 5, 999_999_999])
def test_a_run_that_is_not_there_is_a_sentence(file: Path, number: int) -> None:
    with pytest.raises(BadInput, match=f"holds 4 runs; there is no run {number}"):
        compare_recordings([file, f"{file}#{number}"])


def test_tables_hold_the_runs_that_were_chosen(file: Path, tmp_path: Path) -> None:
    steps = export_recordings([f"{file}#1", f"{file}#2"], "csv", f"{tmp_path}/out/").paths[0]
    assert steps.name == "sitting-run1+sitting-run2.steps.csv"
    rows = list(csv.DictReader(steps.read_text("utf-8").splitlines()))
    assert {(row["recording"], row["setting"], row["run"]) for row in rows} == {
        ("sitting#1", "wanda:0.2", "1"),
        ("sitting#2", "wanda:0.6", "2"),
    }
    assert len(rows) == 21


def test_the_commands_name_runs(file: Path) -> None:
    last_run_of = phier("recordings", file.name, folder=file.parent)
    lines = last_run_of.stdout.splitlines()[1:]
    assert [f"{file.name}#{number}" in line.split() for number, line in enumerate(lines, 1)] == [True] * 3
    assert lines[2].endswith("Why is the sky blue?")
    done = phier("compare", f"{file.name}#1", f"{file.name}#2", "--json", folder=file.parent)
    assert [one["run"] for one in json.loads(done.stdout)["recordings"]] == [1, 2]
    refused = phier("export", f"{file.name}#9", "--to", "csv", folder=file.parent)
    assert refused.returncode == 2
    assert "`phier recordings sitting.jsonl` lists them." in refused.stderr


@pytest.fixture
def sitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySource:
    """A live run under one setting, then under another, recorded into the only file of the list."""
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path))
    monkeypatch.setattr("explorer.ui.screens.recordings._shipped", list)
    source = ToySource(RunSettings(PROMPT, follow=Follow.FREE), setting="wanda:0.5")
    source.open(Recorder(lambda _event: None, tmp_path / "sitting.jsonl"))
    source.advance(10)
    source.ask(Prune(parse("wanda:0.3")))
    source.advance(8)
    return source


async def test_two_settings_of_one_sitting_are_compared_from_the_list(sitting: ToySource) -> None:
    app = ExplorerApp(clock=Clock())
    async with app.run_test(size=(160, 40)) as pilot:
        await listed(app, pilot)
        assert "sitting.jsonl#2   run 2 of 2" in screen_text(app)
        await press(pilot, "end", "space", "home", "space", "c")
        assert isinstance(app.screen, ComparisonScreen)
        assert [entry.label for entry in app.screen._compared.entries] == ["wanda:0.5", "wanda:0.3"]
        await press(pilot, "escape")
        assert isinstance(app.screen, Recordings)
        await press(pilot, "end", "enter")
        await at_rest(app, pilot)
        assert app.view.header is not None
        assert (app.view.header.title, app.view.newest) == ("wanda:0.5", 10)


async def test_the_other_runs_of_a_recording_are_a_key_away(file: Path) -> None:
    app = ExplorerApp(ReplaySource(file, number=1), clock=Clock())
    async with app.run_test(size=(140, 40)) as pilot:
        await at_rest(app, pilot)
        assert app.view.header is not None
        assert (app.view.header.title, app.view.newest) == ("wanda:0.2", 12)
        await press(pilot, "b")
        shown = screen_text(app)
        assert "This is run 1 of the recording." in shown
        assert "run 3  wanda:0.6, free, 7 steps, “Why is the sky blue?”" in shown
        await press(pilot, "down", "enter")
        assert (app.view.header.title, app.view.newest) == ("wanda:0.6", 9)
