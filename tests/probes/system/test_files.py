"""A file or a folder is replaced as a whole, or stays what it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from probes.system.files import place_of, remove_leftovers, replace_file, replacing


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_small_file_is_replaced_whole_and_is_its_users_alone(tmp_path):
    file = tmp_path / "deep" / "file"
    replace_file(file, "one")
    replace_file(file, "two")
    assert file.read_text() == "two"
    assert names(file.parent) == {"file"}
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_there_is_read_until_the_block_ends(tmp_path):
    file = tmp_path / "file"
    file.write_text("before")
    with replacing(file) as part:
        part.write_text("after")
        assert file.read_text() == "before"
    assert file.read_text() == "after"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt, ValueError])
def test_a_block_that_raises_leaves_what_was_there_and_nothing_else(tmp_path, problem):
    file = tmp_path / "file"
    file.write_text("before")

    def fail() -> None:
        with replacing(file) as part:
            part.write_text("half")
            raise problem

    with pytest.raises(problem):
        fail()
    assert file.read_text() == "before"
    assert names(tmp_path) == {"file"}


def test_a_folder_takes_its_place_as_a_whole(tmp_path):
    folder = tmp_path / "folder"
    with replacing(folder) as part:
        part.mkdir()
        (part / "a").write_text("a")
        (part / "deeper").mkdir()
        assert not folder.exists()
    assert names(folder) == {"a", "deeper"}
    assert names(tmp_path) == {"folder"}


def test_a_folder_that_holds_something_is_not_replaced(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    with pytest.raises(OSError, match="folder"), replacing(folder) as part:
        part.mkdir()
    assert names(folder) == {"mine"}
    assert names(tmp_path) == {"folder"}


def test_a_file_that_was_never_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["file", "[a]", "n" * 240])
def test_what_a_killed_program_left_is_removed_for_its_own_place_alone(tmp_path, name):
    place, other = tmp_path / name, tmp_path / "other"
    with replacing(place) as part, replacing(other) as kept:
        part.write_text("half")
        kept.write_text("whole")
        assert place_of(kept.parent) == other
        remove_leftovers(place)
        assert not part.exists()
        part.parent.mkdir()
        part.write_text("again")
    assert place_of(place) == place
    assert other.read_text() == "whole"
