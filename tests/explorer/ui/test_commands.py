"""Every screen's keys, key line, palette and `?` follow from its command table."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

import explorer.ui.screens
from explorer.config.screen_options import GlyphSet
from explorer.ui.app import ExplorerApp
from explorer.ui.command_palette import PossibleCommands
from explorer.ui.commands import Command, Commanded
from explorer.ui.filled_keys import with_usual_keys
from explorer.ui.screens.closing import Closable
from explorer.ui.screens.cursor_page import CursorPage
from explorer.ui.screens.dialog import Dialog, MessageDialog
from explorer.ui.screens.list_page import ListPage, TaskPage
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.main_actions import MainActions
from explorer.ui.screens.page import Page
from explorer.ui.screens.reasoned_page import ReasonedPage
from explorer.ui.screens.results_page import ResultsPage
from explorer.ui.screens.row_finding import FindingPage
from explorer.ui.screens.sweep import SweepScreen
from explorer.ui.screens.welcome import Welcome
from explorer.ui.widgets.key_line import KeyLine
from tests.support.formula_sweep import some_sweep
from tests.support.glyphs import check_glyphs
from tests.support.records import recorded_events, write_events
from tests.support.stage import on_stage, press, screen_text, scripted, settle
from tests.support.swept import ScriptedSweep

SCORED = ("r", "score")
"""Scores all items; not a key."""
OPENED_BY = {
    "MainScreen": (),
    "AskBranch": ("b",),
    "AskFind": ("slash",),
    "AskMargin": ("j", *SCORED, "d"),
    "AskName": ("k",),
    "AskPassages": ("P",),
    "AskPath": ("S",),
    "AskPrompt": ("p",),
    "AskRepair": ("d", "r"),
    "AskSetting": ("x",),
    "AskSettings": ("s",),
    "AskTasks": ("j", "c"),
    "AskToken": ("i",),
    "AskUntil": ("u",),
    "AskWatched": ("W", "e"),
    "ChoiceDialog": ("f",),
    "ChoosePrompt": ("p", "f5"),
    "ComparisonScreen": None,
    "ExplanationDialog": ("f1",),
    "FigureList": ("D",),
    "ItemsScreen": ("j", *SCORED, "enter"),
    "KeysDialog": ("question_mark",),
    "MessageDialog": None,
    "NotesDialog": ("exclamation_mark",),
    "PassagesScreen": ("P", "escape"),
    "PromptTokens": ("p", "f3"),
    "PruneGrid": ("w",),
    "Recordings": ("o",),
    "StepsScreen": ("L",),
    "SweepScreen": None,
    "SimilaritiesScreen": ("j", *SCORED, "down", "down", "enter"),
    "VerdictScreen": ("j",),
    "WatchScreen": ("W",),
    "Welcome": None,
    "WhyScreen": ("d",),
}
"""The keys that open each screen from the main one; None if it takes more than keys."""
TABLES = list(OPENED_BY)


def screens() -> dict[str, type[Screen[object]]]:
    """Every screen of the program by its name, without what several of them share."""
    for module in pkgutil.iter_modules(explorer.ui.screens.__path__):
        importlib.import_module(f"explorer.ui.screens.{module.name}")
    shared = {
        Closable,
        Page,
        ReasonedPage,
        FindingPage,
        CursorPage,
        ResultsPage,
        ListPage,
        TaskPage,
        MainActions,
        Dialog,
    }
    found = set(_below(Screen)) - shared
    return {cls.__name__: cls for cls in found if cls.__module__.startswith("explorer.ui.screens.")}


def _below(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)


async def opened(name: str, app: ExplorerApp, pilot: Pilot[int], folder: Path) -> Screen[object]:
    """The screen of that name over the main one."""
    keys = OPENED_BY[name]
    if keys is not None:
        for key in keys:
            if key == "score":
                app.source.score()  # type: ignore[attr-defined]
                await settle(pilot)
            else:
                await press(pilot, key)
    elif name == "ComparisonScreen":
        app.compare([write_events(folder / f"{which}.jsonl", recorded_events(30, seed=which)) for which in (1, 2)])
        await settle(pilot)
    elif name == "SweepScreen":
        app.push_screen(SweepScreen(ScriptedSweep(some_sweep()), app.view))
        await settle(pilot)
    elif name == "Welcome":
        app.push_screen(Welcome(has_models=True))
        await settle(pilot)
    else:
        app.push_screen(MessageDialog("Title", "Sentence."))
        await settle(pilot)
    assert type(app.screen).__name__ == name
    return app.screen


def test_every_screen_is_opened_here() -> None:
    assert set(OPENED_BY) == set(screens())


@pytest.mark.parametrize("name", TABLES)
def test_every_binding_comes_from_the_table(name: str) -> None:
    cls = screens()[name]
    assert issubclass(cls, Commanded)
    bound = {key for base in cls.__mro__ if base.__module__.startswith("explorer.") for key in _keys(base)}
    listed = {one.key for command in cls.COMMAND_TABLE for one in command.bindings}
    assert bound == listed
    assert len(listed) == sum(len(command.bindings) for command in cls.COMMAND_TABLE), "two commands have one key"


def _keys(cls: type) -> list[str]:
    return [binding.key for binding in cls.__dict__.get("BINDINGS", ())]


@pytest.mark.parametrize("name", TABLES)
async def test_a_screen_shows_its_table_and_every_key_of_it_does_what_it_says(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with on_stage(scripted(), 30, (140, 110)) as (app, pilot):
        screen = await opened(name, app, pilot, tmp_path)
        await shows_its_table(app, pilot, screen)
        assert app.screen is screen
        await check_glyphs(app, pilot, GlyphSet.ASCII)
        monkeypatch.setattr(screen, "check_action", lambda *_: True)
        done: list[str] = []
        for keys, action in ((k, a) for command in screen.COMMAND_TABLE for k, a in command.keys.items()):  # type: ignore[attr-defined]
            if not action:
                assert keys in screen.active_bindings, f"nothing acts on {keys}"
                continue
            name, _, given = action.removeprefix("app.").partition("(")
            target = app if action.startswith("app.") else screen
            # Textual passes no more values than there are parameters, and counts `*given` as one.
            monkeypatch.setattr(target, f"action_{name}", lambda a=None, b=None: done.append(str(_given(a, b))))
            for key in keys.split(","):
                if key.startswith("shift+"):  # a terminal sends the capital letter
                    continue
                done.clear()
                await pilot.press(key)
                assert done == [str(ast.literal_eval(f"({given.removesuffix(')')},)") if given else ())], key


async def shows_its_table(app: ExplorerApp, pilot: Pilot[int], screen: Screen[object]) -> None:
    """In its key line or under its frame, in the palette, and under `?`, which is closed again."""
    table: tuple[Command[object], ...] = screen.COMMAND_TABLE  # type: ignore[attr-defined]
    assert all(command in table for command in PossibleCommands(screen)._commands())
    if isinstance(screen, Dialog):
        frame = str(screen.query_one("#frame").border_subtitle)
        assert all(command.label and command.shown in frame for command in table)
        return
    line = screen.query_one(KeyLine)._keys
    tables = [screen.USUAL_KEYS, MainScreen.USUAL_KEYS]  # type: ignore[attr-defined]
    assert {(hint.key, hint.action) for hint in line} <= {(command.shown, command.action) for command in table}
    await press(pilot, "question_mark")
    shown = " ".join(screen_text(app).split())
    for command in table:
        assert f"{command.shown} {with_usual_keys(command.help, tables)[:40]}" in shown
    await press(pilot, "escape")


def _given(*values: object) -> tuple[object, ...]:
    return tuple(value for value in values if value is not None)


async def test_a_command_of_several_keys_has_no_action_of_its_own() -> None:
    one: Command[object] = Command({"left": "move(-1)", "right": "move(1)"}, "← →", "Moves.")
    assert one.action == ""
    assert [(binding.key, binding.action) for binding in one.bindings] == [("left", "move(-1)"), ("right", "move(1)")]
    assert Command({"enter": "leave", "escape": "leave"}, "⏎ Esc", "Closes.").action == "leave"
