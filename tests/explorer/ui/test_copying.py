"""Copying and citing: what each screen offers, and how it reaches the clipboard or a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from explorer.ui.clipboard import LONGEST, Route, Way, copies_folder, route, to_tmux, write_copy
from explorer.ui.copying import Copyable, copy
from explorer.words.figures import Scope, value
from probes.schema.errors import Failure
from probes.schema.flat_step import from_jsonable
from tests.support.stage import on_stage, press, scripted, settle


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
