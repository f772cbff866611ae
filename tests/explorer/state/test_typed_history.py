"""What was typed is remembered across sittings and programs, and met again with the arrow keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.state import typed_history
from explorer.state.typed_history import LONGEST_ENTRY, MOST_ENTRIES, HistoryWalk, TypedHistory
from probes.schema.errors import Failure
from probes.system.user_folders import CONFIG_VARIABLE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


def added(*texts: str) -> TypedHistory:
    history = TypedHistory()
    for text in texts:
        history.add("prompt", text)
    return history


def test_the_latest_is_first_and_each_text_is_there_once() -> None:
    history = added("one", "two\nlines", "one", " ", "")
    history.add("setting", "wanda:0.5")
    assert history.entries("prompt") == ("one", "two\nlines")
    assert TypedHistory().entries("setting") == ("wanda:0.5",)
    assert history.entries("system") == ()


def test_only_its_user_can_read_the_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "history.jsonl").touch(0o644)
    history = added("secret")
    assert history.path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_costs_nothing_else() -> None:
    history = added("one", "two")
    with history.path.open("ab") as file:
        file.write(b'{"kind":"prompt","te')
    assert added("three").entries("prompt") == ("three", "two", "one")


def test_a_text_too_long_is_not_remembered_and_half_a_character_is_replaced() -> None:
    assert added("a" * LONGEST_ENTRY, "b\ud800").entries("prompt") == ("b?",)


def test_the_file_keeps_the_latest_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_history, "MOST_HISTORY", 4000)
    history = added(*(f"prompt number {place}" for place in range(200)))
    assert history.path.stat().st_size <= 4000
    assert history.path.stat().st_mode & 0o777 == 0o600
    kept = history.entries("prompt")
    assert kept == tuple(f"prompt number {place}" for place in reversed(range(200)))[: len(kept)]
    assert len(kept) >= 2000 // len('{"kind":"prompt","text":"prompt number 199"}\n') - 1


def test_a_kind_has_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_history, "MOST_ENTRIES", 3)
    assert added("1", "2", "3", "4").entries("prompt") == ("4", "3", "2")
    assert MOST_ENTRIES >= 100


def test_programs_that_write_at_the_same_time_lose_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = 25
    write = (
        "import sys; from explorer.state import typed_history as th; th.MOST_HISTORY = 60_000\n"
        f"for i in range({each}): th.TypedHistory().add('prompt', f'{{sys.argv[1]}} {{i}}' + ' ' * 100 + 'end')"
    )
    programs = [subprocess.Popen([sys.executable, "-c", write, name], env=os.environ.copy()) for name in "abc"]
    assert [program.wait(60) for program in programs] == [0, 0, 0]
    found = {text.rstrip("end").strip() for text in TypedHistory().entries("prompt")}
    assert found == {f"{name} {i}" for name in "abc" for i in range(each)}


def test_a_folder_that_cant_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(Failure, match="could not be added"):
        added("one")
    assert TypedHistory().entries("prompt") == ()


# The walk.

ENTRIES = ("what is b", "why", "what is a")


def steps(walk: HistoryWalk, *moves: Callable[[HistoryWalk], str | None]) -> list[str | None]:
    return [move(walk) for move in moves]


def test_a_field_that_nobody_typed_into_meets_all_and_comes_back() -> None:
    walk = HistoryWalk(ENTRIES, "the present prompt")
    assert walk.newer() is None
    assert [walk.older() for _ in range(4)] == ["what is b", "why", "what is a", None]
    assert walk.place == (3, 3)
    assert [walk.newer() for _ in range(4)] == ["why", "what is b", "the present prompt", None]


def test_what_was_typed_is_the_beginning_of_what_is_met() -> None:
    walk = HistoryWalk(ENTRIES, "")
    walk.type("what")
    assert [walk.older(), walk.older(), walk.older()] == ["what is b", "what is a", None]
    walk.type("what is a")  # as the walk put it there
    assert walk.newer() == "what is b"
    walk.type("what is b?")
    assert walk.older() is None
    assert walk.newer() is None
    walk.type("")
    assert walk.older() == "what is b"


@given(st.lists(st.text("ab", max_size=3), unique=True), st.text("ab", max_size=2), st.lists(st.booleans()))
def test_a_walk_never_loses_what_was_typed(entries: list[str], draft: str, moves: list[bool]) -> None:
    walk = HistoryWalk(entries)
    walk.type(draft)
    for back in moves:
        shown = walk.older() if back else walk.newer()
        if shown is not None:
            assert shown.startswith(draft)
            walk.type(shown)
    shown = draft
    while (newer := walk.newer()) is not None:
        shown = newer
    assert shown == draft


def test_a_process_that_remembers_alone_shares_no_history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a browser tab, which may be another person's."""
    added("of the terminal")
    before = (folder / "history.jsonl").read_bytes()
    monkeypatch.setattr(typed_history, "_own", [])
    typed_history.remember_here_alone()
    history = added("one", "two", "one", " ")
    assert history.entries("prompt") == TypedHistory().entries("prompt") == ("one", "two")
    for number in range(MOST_ENTRIES):
        history.add("setting", f"wanda:0.{number}")
    assert len(history.entries("setting")) == MOST_ENTRIES
    assert (folder / "history.jsonl").read_bytes() == before
