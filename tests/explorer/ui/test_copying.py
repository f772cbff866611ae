"""Copying and citing: what each screen offers, and how it reaches the clipboard or a file."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.widgets._toast import Toast

import probes
from explorer.recordings.comparison import compare_recordings
from explorer.sources.cited_files import comparison_command
from explorer.ui.clipboard import LONGEST, Route, Way, copies_folder, route, to_tmux, write_copy
from explorer.ui.copyable_files import sweep_parts
from explorer.ui.copyable_parts import file_of
from explorer.ui.copying import Copyable, copy
from explorer.words.figures import Scope, value
from probes.schema.errors import Failure
from probes.schema.flat_step import from_jsonable
from probes.schema.settings import Follow
from probes.schema.spec import CalibrationSpec
from probes.schema.sweep import PromptTask, SweepPlan
from probes.sweep.plan_file import plan_from_toml, plan_toml
from probes.sweep.settings import swept_settings
from tests.support.formula_sweep import some_sweep
from tests.support.records import recorded_events, write_events
from tests.support.stage import SMALL, explorer, on_stage, press, screen_text, scripted, settle, until


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path / "recordings"))


async def test_the_main_screen_offers_token_row_table_series_step_and_picture() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        record = app.view.record
        assert record is not None
        assert record.taken is not None
        await press(pilot, "y", "t")
        assert app.clipboard == record.taken.token
        await press(pilot, "down", "y", "r")
        head, row = app.clipboard.splitlines()
        table = record.shared.top if record.shared else ()
        assert dict(zip(head.split("\t"), row.split("\t"), strict=True))["p"] == repr(table[1].p)
        await press(pilot, "y", "b")
        assert len(app.clipboard.splitlines()) == len(table) + 1
        assert row == app.clipboard.splitlines()[2]
        await press(pilot, "y", "j")
        assert from_jsonable(json.loads(app.clipboard)) == record
        app.main.query_one("#embedding").focus()
        await press(pilot, "y", "s")
        names, *rows = (line.split("\t") for line in app.clipboard.splitlines())
        place = names.index("shared.h.angle")
        for step, cells in zip(app.view.path, rows, strict=True):
            angle = value(step, "h.angle", Scope.SHARED)
            assert cells[place] == ("" if angle is None else repr(angle))
        await press(pilot, "y", "p")
        [picture] = copies_folder().glob("screen*.svg")
        assert picture.read_text().startswith("<svg")
        assert "url(http" not in picture.read_text(), "it fetches nothing"
        await press(pilot, "y", "a")
        assert "embedding h" in app.clipboard
        await press(pilot, "y", "f")
        assert [path.read_text() for path in copies_folder().glob("screen*.txt")] == [app.clipboard]


async def test_the_notice_of_a_copy_is_short_and_gone_when_the_next_one_is_chosen() -> None:
    async with on_stage(scripted(), 3, SMALL) as (app, pilot):
        await press(pilot, "y", "t")
        [notice] = app._notifications
        assert len(notice.message) <= 100
        await press(pilot, "y")
        assert not app._notifications
        assert "The panel under focus as text; figures and tables are tab-separated." in screen_text(app)


async def test_a_notice_is_below_the_title_and_covers_no_line_at_the_bottom() -> None:
    source = scripted()
    app = explorer(source)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        source.advance(3)
        await press(pilot, "y", "t")
        await until(pilot, lambda: any(one.region.height for one in app.screen.query(Toast)), "the notice")
        [toast] = app.screen.query(Toast)
        assert toast.region.y == 1
        assert toast.region.bottom <= SMALL[1] // 2


async def test_a_file_is_among_what_is_offered_from_the_beginning() -> None:
    async with on_stage(scripted(), 3, SMALL) as (app, pilot):
        await press(pilot, "y")
        assert re.search("f  the .*, into a file", screen_text(app))
        await press(pilot, "f")
        [notice] = app._notifications
        assert ": written into " in notice.message
        assert list(copies_folder().iterdir())


async def test_the_command_is_of_all_steps_wherever_the_cursor_is(tmp_path: Path) -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        app.view.header = replace(app.view.header, dense=replace(app.view.header.dense, spec="a"))  # type: ignore[type-var]
        app.view.header = replace(app.view.header, pruned=replace(app.view.header.pruned, spec="b"))
        app.view.move_to(2)
        await press(pilot, "y", "c")
        assert "--steps 30" in app.clipboard
        assert any("The command (all 30 steps)" in notice.message for notice in app._notifications)
        assert file_of(SimpleNamespace(path=tmp_path / "a.jsonl"), app.view).endswith("a.jsonl#1'")  # type: ignore[arg-type, union-attr]


async def test_a_screen_with_a_list_offers_its_row_and_table() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "L", "down", "y", "r")
        head, row = app.clipboard.splitlines()
        await press(pilot, "y", "y")
        lines = app.clipboard.splitlines()
        assert (lines[0], lines[2]) == (head, row)
        assert len(lines) == 31


async def test_what_is_too_long_and_what_is_nothing_is_said() -> None:
    async with on_stage(scripted(), 3) as (app, pilot):
        long = ("é" * LONGEST, "Written", "149,988 bytes are too many")
        for text, title, says in (long, ("", "Nothing copied", "nothing to copy")):
            await copy(app, Copyable("y", "the text", "", lambda text=text: text, "long"))  # type: ignore[misc]
            await settle(pilot)
            notice = [*app._notifications][-1]
            assert notice.title == title
            assert says in notice.message
        assert [path.read_text() for path in copies_folder().iterdir()] == ["é" * LONGEST]


@pytest.mark.parametrize(
    ("environment", "way", "doubt"),
    [
        ({"TERM": "xterm-256color"}, Way.SEQUENCE, False),
        ({"TERM": "xterm-kitty", "SSH_TTY": "/dev/pts/1"}, Way.SEQUENCE, False),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, Way.TMUX, False),
        ({"TERM": "tmux-256color", "SSH_TTY": "/dev/pts/1"}, Way.SEQUENCE, True),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, Way.SEQUENCE, True),
        ({"TERM": "screen", "STY": "1.pts-0"}, Way.NONE, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, Way.NONE, True),
        ({"TERM": "linux"}, Way.NONE, True),
    ],
)
def test_the_route_follows_from_the_terminal(environment: Mapping[str, str], way: Way, doubt: bool) -> None:
    found = route(environment)
    assert found.way is way
    assert bool(found.doubt) is doubt
    assert isinstance(found, Route)


FAKE_TMUX = """#!/bin/sh
echo "$@" >> "$FAKE_LOG"
case "$1 $2" in
  "load-buffer -w") cat >> "$FAKE_LOG"; exit $FAKE_OLD;;
  "load-buffer -") cat >> "$FAKE_LOG"; exit $FAKE_REFUSES;;
  *) echo $FAKE_OPTION;;
esac
"""


@pytest.mark.parametrize(
    ("old", "refuses", "option", "says"),
    [(0, 0, "external", ""), (0, 0, "off", "set-clipboard is off"), (1, 0, "on", "too old"), (1, 1, "on", None)],
)
def test_tmux_is_handed_the_text_itself(
    old: int, refuses: int, option: str, says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmux").write_text(FAKE_TMUX)
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, set_to in (("LOG", tmp_path / "log"), ("OLD", old), ("REFUSES", refuses), ("OPTION", option)):
        monkeypatch.setenv(f"FAKE_{name}", str(set_to))
    if says is None:
        with pytest.raises(Failure, match="tmux did not take it"):
            to_tmux("half é")
    else:
        assert says in to_tmux("half é")
        assert bool(says) is bool(to_tmux("half é"))
    assert "half é" in (tmp_path / "log").read_text()


def test_a_copy_never_overwrites_and_falls_back_to_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [write_copy(text, "step3", "txt").name for text in "ab"] == ["step3.txt", "step3-2.txt"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert write_copy("c", "step3", "txt") == tmp_path / "step3.txt"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file" / "none"))
    with pytest.raises(Failure, match="No file could be written"):
        write_copy("d", "step3", "txt")


async def test_a_comparison_offers_the_command_and_the_lines_that_show_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_events(tmp_path / f"{seed} .jsonl", recorded_events(9, seed=seed)) for seed in (1, 2)]
    async with on_stage(scripted(), 3) as (app, pilot):
        app.compare(files)
        await press(pilot, "y", "c")
        words = shlex.split(app.clipboard)
        assert words == ["phier", "compare", *map(str, files)]
        await press(pilot, "y", "l")
        lines = app.clipboard
    found: dict[str, object] = {}
    exec(compile(lines, "lines", "exec"), found)
    compared = compare_recordings(files)
    assert found["summaries"] == [entry.summary for entry in compared.entries]
    assert [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()]


async def test_a_run_among_several_is_named_by_its_number(tmp_path: Path) -> None:
    file = write_events(tmp_path / "two.jsonl", [*recorded_events(9, seed=1), *recorded_events(7, seed=2)])
    other = write_events(tmp_path / "one.jsonl", recorded_events(7, seed=3))
    named = compare_recordings([file, other]).named
    assert [str(one) for one in named] == [f"{file}#2", str(other)]
    assert comparison_command(named).endswith(f"{file}#2' {other}")


async def test_a_sweep_offers_its_command_its_plan_and_the_lines_that_compute_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SweepPlan(
        (*swept_settings("wanda:{0.1..0.3/0.1}"), *swept_settings("drop-attn@layers=2")),
        tasks=("facts", "mine.jsonl"),
        prompts=(PromptTask("prompt 1", 'Say "hi".', follow=Follow.FREE, steps=8),),
        seeds=(0, 1),
        margin=0.03,
        calibration=CalibrationSpec(samples=8),
    )
    header = replace(some_sweep().header, plan=plan_toml(plan))
    parts = {one.key: one.text for one in sweep_parts(header, tmp_path / "night 1.jsonl")}
    assert shlex.split(parts["c"]()) == ["phier", "sweep", str(tmp_path / "night 1.jsonl")]
    assert plan_from_toml(parts["e"](), "plan") == plan
    asked: list[object] = []
    monkeypatch.setitem(vars(probes), "run_sweep", lambda *given: asked.append(given) or [])
    exec(compile(parts["l"](), "lines", "exec"), {})
    assert asked == [(plan, Path("night 1-again.jsonl"))]
