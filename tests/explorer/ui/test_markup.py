"""Names and sentences from elsewhere are text on the screen: square brackets in them never act."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import explorer as package
from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice, MessageDialog
from explorer.ui.screens.prune import AskName
from probes.schema.events import Failed
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow
from tests.support.stage import LARGE, on_stage, screen_text, scripted, settle
from tests.support.stage import explorer as explorer_on

NAMES = ("exp[lr=1e-4]", "[/bold]", "[red", "a[@click=app.quit]b[/]")
"""Names as experiment trackers write them, the end of a style, and a link."""
READ_MARKUP = {"Static", "Label", "OptionList", "SelectionList", "Button", "Checkbox", "RadioButton", "Link", "Digits"}
"""Textual's widgets that read markup in their text unless an option forbids it."""


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    """The explorer's source."""
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


@pytest.mark.parametrize("name", NAMES)
async def test_a_notice_is_text_whoever_gives_it(name: str) -> None:
    app = explorer_on(scripted(Follow.DENSE))
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        await settle(pilot)
        app.notify(f"1 {name}", title=name)
        app.screen.notify(f"2 {name}", title=name)
        app.main.query_one("#table").notify(f"3 {name}", title=name)
        await settle(pilot)
        shown = screen_text(app)
        for count in (1, 2, 3):
            assert f"{count} {name}" in shown
        assert not any(notice.markup for notice in app._notifications)


@pytest.mark.parametrize("name", NAMES)
async def test_dialogs_show_names_as_they_are(name: str) -> None:
    async with on_stage(scripted(Follow.DENSE), 3, LARGE) as (app, pilot):
        for dialog in (
            MessageDialog(name, name, name),
            ChoiceDialog(name, name, (DialogChoice("a", name, name),)),
            AskName(parse("wanda:0.5"), name, {}),
        ):
            app.push_screen(dialog)
            await settle(pilot)
            assert name in screen_text(app)
            app.pop_screen()
            await settle(pilot)


async def test_a_failure_and_a_cancellation_with_brackets_are_shown() -> None:
    source = scripted(Follow.DENSE)
    app = explorer_on(source)
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        await settle(pilot)
        source.emit(Failed("Cancelled", "Loading exp[lr=1e-4] was cancelled."))
        await settle(pilot)
        assert "exp[lr=1e-4]" in screen_text(app)
        source.emit(Failed("No [/model]", "There is no exp[lr=1e-4].", "Give [another]."))
        await settle(pilot)
        for words in ("No [/model]", "no exp[lr=1e-4].", "Give [another]."):
            assert words in screen_text(app)


def test_every_widget_that_reads_markup_is_told_not_to() -> None:
    found = [
        (f"{path.name}:{node.lineno}", {word.arg: word.value for word in node.keywords})
        for path, node in nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in READ_MARKUP
    ]
    assert len(found) > 20
    for where, words in found:
        told = words.get("markup")
        assert isinstance(told, ast.Constant) and told.value is False, f"{where} reads markup"  # noqa: PT018


def test_titles_of_frames_are_text() -> None:
    for path, node in nodes():
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Attribute) and target.attr in ("border_title", "border_subtitle"):
            assert isinstance(node, ast.Assign)
            text = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "Text"
            assert text or path.name == "line_widget.py", f"{path.name}:{node.lineno}"  # there the types say so
