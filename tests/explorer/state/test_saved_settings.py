"""Prune settings kept under names: they outlive the sitting, and a file that is damaged is never written over."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from explorer.state.saved_settings import SavedSettings
from explorer.ui.screens.dialog import MessageDialog
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.schema.requests import Prune
from probes.schema.settings import Follow
from probes.system.user_folders import CONFIG_VARIABLE
from tests.support.stage import on_stage, press, screen_text, scripted


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


def test_what_is_kept_is_found_by_whoever_looks_next() -> None:
    SavedSettings().save("half", parse("wanda:0.5"))
    SavedSettings().save("mild", parse("wanda:0.3"))
    assert list(SavedSettings().all().items()) == [("mild", "wanda:0.3"), ("half", "wanda:0.5")]
    assert SavedSettings().name_of(parse("wanda:0.5")) == "half"
    assert SavedSettings().name_of(parse("wanda:0.7")) == ""


def test_a_name_stands_for_one_setting_and_can_be_let_go() -> None:
    saved = SavedSettings()
    saved.save("mine", parse("wanda:0.5"))
    saved.save("mine", parse("wanda:0.3"))
    assert saved.all() == {"mine": "wanda:0.3"}
    saved.delete("mine")
    assert saved.all() == {}


@pytest.mark.parametrize("content", ['{"half": ', "[]", '{"half": 3}', "\xff"])
def test_a_damaged_file_is_said_and_never_written_over(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "settings.json").write_text(content, "latin-1")
    with pytest.raises(Failure, match="can't be read"):
        SavedSettings().save("half", parse("wanda:0.5"))
    assert SavedSettings().name_of(parse("wanda:0.5")) == ""
    assert (folder / "settings.json").read_text("latin-1") == content


def test_a_place_that_can_not_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "file" / "below"))
    with pytest.raises(Failure):
        SavedSettings().save("half", parse("wanda:0.5"))


def test_a_place_that_can_not_be_made_is_said_with_the_variable_that_names_another(folder: Path) -> None:
    folder.symlink_to(folder.parent / "nowhere" / "at all")
    with pytest.raises(Failure, match="could not be written") as problem:
        SavedSettings().save("half", parse("wanda:0.5"))
    assert CONFIG_VARIABLE in problem.value.hint


async def test_a_setting_is_kept_by_name_and_offered_where_settings_are_typed() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 4) as (app, pilot):
        await press(pilot, "k")
        app.screen.query_one(Input).value = "my half"
        await press(pilot, "enter")
        assert SavedSettings().all() == {"my half": "wanda:0.5"}
        source.ask(Prune(parse("wanda:0.3")))
        await press(pilot, "x")
        assert "“my half”" in screen_text(app)
        await press(pilot, "down", "home", "enter", "enter")
        assert source.asked[-1] == Prune(parse("wanda:0.5"))
        await press(pilot, "w")
        assert "wanda:0.5 “my half”" in screen_text(app)


async def test_a_name_that_is_taken_says_what_it_would_replace() -> None:
    SavedSettings().save("mine", parse("wanda:0.7"))
    async with on_stage(scripted(Follow.DENSE), 4) as (app, pilot):
        await press(pilot, "w", "k")
        app.screen.query_one(Input).value = "mine"
        await press(pilot)
        assert "It replaces wanda:0.7." in screen_text(app)
        await press(pilot, "escape")
        assert SavedSettings().all() == {"mine": "wanda:0.7"}


async def test_a_damaged_file_does_not_keep_anybody_from_typing(folder: Path) -> None:
    folder.mkdir()
    (folder / "settings.json").write_text("{")
    async with on_stage(scripted(Follow.DENSE), 4) as (app, pilot):
        await press(pilot, "x")
        assert app.screen.query_one(Input).value == "wanda:0.5"
        await press(pilot, "escape", "k")
        assert isinstance(app.screen, MessageDialog)
        assert "can't be read" in screen_text(app)


async def test_a_name_is_let_go_where_settings_are_typed_and_its_setting_stays_there() -> None:
    for name, setting in (("mild", "wanda:0.2"), ("half", "wanda:0.55"), ("the half", "wanda:0.55")):
        SavedSettings().save(name, parse(setting))
    async with on_stage(scripted(Follow.DENSE), 4) as (app, pilot):
        await press(pilot, "x", "delete")
        assert "Del deletes the name" not in screen_text(app)
        assert len(SavedSettings().all()) == 3, "in the field, Del is the field's"
        await press(pilot, "down", "home")
        assert "Del deletes the name" in screen_text(app)
        await press(pilot, "delete")
        assert SavedSettings().all() == {"half": "wanda:0.55", "mild": "wanda:0.2"}
        assert "“the half” is deleted" in screen_text(app)
        assert "wanda:0.55              “half”" in screen_text(app)
        await press(pilot, "delete")
        assert SavedSettings().all() == {"mild": "wanda:0.2"}
        assert "wanda:0.55" in screen_text(app)
        await press(pilot, "delete", "end", "delete")
        assert SavedSettings().all() == {"mild": "wanda:0.2"}, "nothing is under the cursor that has a name"
        assert "Del deletes the name" not in screen_text(app)


async def test_a_name_that_can_not_be_let_go_is_said(folder: Path) -> None:
    SavedSettings().save("half", parse("wanda:0.55"))
    async with on_stage(scripted(Follow.DENSE), 4) as (app, pilot):
        await press(pilot, "x", "down", "home")
        (folder / "settings.json").write_text("{")
        await press(pilot, "delete")
        assert isinstance(app.screen, MessageDialog)
        assert (folder / "settings.json").read_text() == "{"
