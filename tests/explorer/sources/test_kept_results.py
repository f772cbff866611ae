"""A results file as a source: what it holds, another margin, and what needs a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from explorer.recordings.opening import open_recording
from explorer.sources.kept_results import ResultsSource, is_results
from explorer.sources.toy.tasks import TASKS, toy_item, toy_set, toy_similarities
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.items import ItemsScreen
from explorer.ui.screens.recordings import Recordings
from explorer.ui.screens.similarities import SimilaritiesScreen
from explorer.ui.screens.verdict import VerdictScreen
from explorer.ui.widgets.item_table import ItemTable
from explorer.ui.widgets.row_list import RowConfirmed
from probes.schema.errors import BadInput, FailureKind
from probes.schema.events import DocumentsCompared, Failed, ItemScored, Judged
from probes.schema.items import TaskKind, Wording
from probes.schema.requests import Judge, Step
from probes.tasks.results_file import ResultsHeader, results_file
from tests.support.live import Listener
from tests.support.stage import Clock, at_rest, press, screen_text


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    with results_file(path, ResultsHeader("Big", "Big wanda:0.5", "wanda:0.5", {})) as file:
        file.take([replace(toy_set(task), wording=Wording("Examples.", "Q: {text}\nA:")) for task in TASKS])
        for task in TASKS:
            for place in range(task.items):
                file.add(toy_item(task, place, 0.5)[0])
            if task.kind is TaskKind.RETRIEVAL:
                file.add(toy_similarities(task, 0.5))
    return path


def test_what_a_file_is(results: Path, tmp_path: Path) -> None:
    assert is_results(results)
    other = tmp_path / "other.jsonl"
    for text in ("", "{", "[1]\n", '{"kind": "header"}\n', "\xff"):
        other.write_text(text)
        assert not is_results(other)
    assert not is_results(tmp_path / "missing")
    assert not is_results(tmp_path)


def test_the_program_opens_it_and_plays_none(results: Path) -> None:
    found = open_recording(str(results), None, False, False, None, False)
    assert isinstance(found, ResultsSource)
    assert found.path == results
    with pytest.raises(BadInput, match="can't be played"):
        open_recording(str(results), None, False, True, None, False)


def test_it_gives_every_item_and_a_verdict(results: Path) -> None:
    source, heard = ResultsSource(results), Listener()
    source.open(heard)
    assert source.wait_idle(20)
    assert len(heard.of(ItemScored)) == sum(task.items for task in TASKS)
    read = {one.prompt.item: one.prompt.prompt for one in heard.of(ItemScored)}
    assert all(read[name].startswith("Examples.\n\nQ: ") for name in read if not name.startswith("documents"))
    assert "\nA. " in read["facts-1"], "with its options, as it was read"
    assert len(heard.of(DocumentsCompared)) == 1
    [judged] = heard.of(Judged)
    assert judged.verdict.final
    request = Judge(margin=0.2)
    source.ask(request)
    assert source.wait_idle(20)
    assert heard.of(Judged)[-1].verdict.margin == 0.2
    assert heard.of(Judged)[-1].request == request.id
    source.ask(Step())
    [failed] = heard.of(Failed)
    assert failed.kind is FailureKind.NEEDS_MODELS
    source.close()


async def test_it_is_shown_read_only(results: Path) -> None:
    app = ExplorerApp(ResultsSource(results), clock=Clock())
    async with app.run_test(size=(120, 36)) as pilot:
        await at_rest(app, pilot)
        assert isinstance(app.screen, VerdictScreen)
        text = screen_text(app)
        assert "recorded  Big ⇄ wanda:0.5" in text
        assert "✗ broken" in text
        await press(pilot, "r", "c", "x")
        assert isinstance(app.screen, VerdictScreen), "these keys need the models"
        assert any("needs the models" in notice.message for notice in app._notifications)
        await press(pilot, "d", "backspace", "5", "enter")
        await at_rest(app, pilot)
        assert "margin −5 points" in screen_text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, ItemsScreen)
        assert "What is the capital of France?" in screen_text(app)
        await press(pilot, "enter")
        app.screen.query_one(ItemTable).post_message(RowConfirmed(0))
        await at_rest(app, pilot)
        assert isinstance(app.screen, ItemsScreen), "opening one needs the models, by key or by a double click"
        await press(pilot, "escape", "down", "down", "enter")
        assert isinstance(app.screen, SimilaritiesScreen)
        assert "dense ranking" in screen_text(app)
        await press(pilot, "escape", "escape")
        assert isinstance(app.screen, Recordings)
        await press(pilot, "escape")
        assert isinstance(app.screen, VerdictScreen)


async def test_a_damaged_file_says_which_line(results: Path) -> None:
    lines = results.read_text().splitlines()
    results.write_text("\n".join([lines[0], "{}", *lines[1:]]) + "\n")
    app = ExplorerApp(ResultsSource(results), clock=Clock())
    async with app.run_test(size=(120, 36)) as pilot:
        await at_rest(app, pilot)
        assert "Line 2 of" in screen_text(app)
