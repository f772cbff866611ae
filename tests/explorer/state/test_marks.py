"""Marks of steps survive, belong to their run and branch, and never change a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.sources.toy.source import ToySource
from explorer.state.marks import Marks, run_key
from explorer.state.view import View
from probes.schema.errors import Failure
from probes.schema.events import RunStarted
from probes.schema.header import RunHeader
from probes.schema.requests import Fork, Restart, Select, Watch
from probes.schema.settings import RunSettings
from probes.schema.watch import parse_watch
from tests.support.stage import PROMPT, scripted


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))


def viewed(source: ToySource, steps: int = 20) -> View:
    view = View()
    source.open(view.apply)
    source.advance(steps)
    return view


def toggle(view: View, step: int) -> bool:
    return view.marks.toggle(view.branches, step)


def test_marks_are_there_again_in_another_sitting() -> None:
    view = viewed(scripted())
    assert toggle(view, 12)
    assert toggle(view, 3)
    assert view.marked == [3, 12]
    again = viewed(scripted())
    assert again.marked == [3, 12]
    assert not toggle(again, 3)
    assert viewed(scripted()).marked == [12]


def test_another_run_has_other_marks() -> None:
    toggle(viewed(scripted()), 5)
    other = ToySource(RunSettings("Another prompt."))
    assert viewed(other).marked == []


def test_a_branch_shares_the_marks_before_it_and_has_its_own() -> None:
    source = scripted()
    view = viewed(source)
    toggle(view, 4)
    toggle(view, 15)
    source.ask(Fork(10, dense=5))
    source.advance(10)
    assert view.branches.current == 1
    assert view.marked == [4]
    toggle(view, 15)
    assert view.marked == [4, 15]
    source.ask(Select(0))
    assert not toggle(view, 15)
    assert view.marked == [4]
    source.ask(Select(1))
    assert view.marked == [4, 15], "the step of the branch is another one"


def test_watching_tokens_keeps_the_marks() -> None:
    source = scripted()
    view = viewed(source)
    toggle(view, 4)
    source.ask(Watch(parse_watch("#5|#6")))
    source.advance(10)
    assert view.watch
    assert view.marked == [4]


def test_the_key_of_a_run_follows_from_what_its_steps_follow_from() -> None:
    source = scripted()
    headers: list[RunHeader] = []
    source.open(lambda event: headers.append(event.header) if isinstance(event, RunStarted) else None)
    source.ask(Restart(RunSettings(PROMPT, steps=5)))
    source.ask(Restart(RunSettings(PROMPT, steps=9)))
    assert len(headers) == 3
    assert run_key(headers[1]) == run_key(headers[2]) != run_key(headers[0]), "free, and dense twice"


def test_a_file_that_can_t_be_read_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_text("{broken")
    view = viewed(scripted())
    assert view.marked == []
    with pytest.raises(Failure, match="can't be read"):
        toggle(view, 2)
    assert (tmp_path / "marks.json").read_text() == "{broken"
    assert view.marked == [2], "as long as the program runs"


def test_a_run_without_marks_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    view = viewed(scripted())
    toggle(view, 2)
    toggle(view, 2)
    assert (tmp_path / "marks.json").read_text().strip() == "{}"
    assert Marks().steps(view.branches) == [], "before any run"
