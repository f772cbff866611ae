"""Sentences that name a key name the one that is bound: none has a key written into it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from textual.app import App

import explorer
from explorer.config.config_file import config_of
from explorer.config.screen_options import GlyphSet, ScreenOptions
from explorer.ui.app import ExplorerApp
from explorer.ui.command_palette import PossibleCommands
from explorer.ui.filled_keys import with_usual_keys
from explorer.ui.keymap import chosen_keys, every_command
from explorer.ui.widgets.line_widget import LineWidget
from explorer.words.bound_keys import key_of
from tests.support.stage import Clock, check_marks, on_stage, press, screen_text, scripted, settle

ROOT = Path(explorer.__file__).parent
SPELT = re.compile(r"\b(Esc|Enter|PgUp|PgDn|Backspace|Space)\b|[⏎⌫]|\b(Home|End) [a-z]+s\b")
"""A key by its name."""
LETTER = re.compile(
    r"(?:(?:^|[\s(])[b-zA-Z*!'?\[\]]|(?:^|\. )/) (?!is\b|was\b|has\b)[a-z]+s\b|\s\([a-zA-Z]\)|press [a-z]\b"
)
"""A character that does something: "m loads", "list (o)", "press u"."""
NAMES_OF_KEYS = ("ui/key_names.py", "ui/glyphs.py")
FIXED = {
    "Tokens were forced on this path": "the letter of an answer in a dialog",
    "One prompt a line, JSON Lines": "the field's own key",
    " runs it; ⏎ only begins a new line": "the field's own keys",
    "⏎ uses it · Del deletes the name": "the list's own keys",
}
"""Texts with what only looks like a key of a command, or can't be chosen."""


def texts_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text in it, but docstrings and the keys of command tables."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Command", "replace"):
            keys = [*node.args[:2], *(one.value for one in node.keywords if one.arg in ("keys", "shown"))]
            skipped |= {id(one) for key in keys for one in ast.walk(key)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


@cache
def modules() -> dict[str, ast.AST]:
    paths = [path for room in ("ui", "words", "state", "sources") for path in (ROOT / room).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}


def test_no_text_of_the_interface_has_a_key_written_into_it() -> None:
    found = [
        f"{place}:{line}: {text}"
        for place, tree in modules().items()
        if place not in NAMES_OF_KEYS
        for line, text in texts_of(tree)
        if (SPELT.search(text) or LETTER.search(text)) and not text.startswith(tuple(FIXED))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["Esc stops", "m loads them", "List (o).", "or press u for", "⏎ opens"])
def test_a_written_key_is_noticed(text: str) -> None:
    assert SPELT.search(text) or LETTER.search(text)


def test_every_command_whose_key_a_sentence_names_exists() -> None:
    known = {name for name, _, _ in every_command()}
    named = {
        one.value
        for _, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "key_of"
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }
    assert len(named) > 50
    assert named <= known


def test_a_sentence_takes_the_key_of_the_command_that_the_screen_has() -> None:
    sentence = f"{key_of('run')} runs, {key_of('back', 'leave')} ends, {key_of('absent')}."
    assert (
        with_usual_keys(sentence, [{"leave": "escape"}, {"run": "space", "back": "f9"}])
        == "Space runs, Esc ends, absent."
    )


CHOSEN = """
run = "f5"
step = "%"
models = "B"
newest = "f6"
zoom = "f7"
score = "R"
leave = "f9"
split = "f10"
find-previous = "f11"
repair = "f12"
tour-on = "@"
tour-back = "ctrl+b"
tour-end = "E"
"""


async def test_sentences_on_all_screens_name_the_chosen_keys() -> None:
    source = scripted(steps=24)
    chosen = chosen_keys(config_of(f"[keys]\n{CHOSEN}", Path("config.toml")))
    app = ExplorerApp(source, keymap=chosen, clock=Clock(), look=ScreenOptions(glyphs=GlyphSet.ASCII))
    app.guide.begin()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        app.guide.look()
        await settle(pilot)
        shown = screen_text(app)
        assert "F5 lets them write" in shown
        assert "F5 runs them, % measures a single step." in shown
        await press(pilot, "right")
        notice = [*app._notifications][-1].message
        assert notice == "Nothing is generated yet. F5 runs both models, % measures one step."
        assert "@ does it   Ctrl+B back   E ends" in shown
        await press(pilot, "greater_than_sign")
        assert app.view.newest == 0
        await press(pilot, "at")  # does the key of the stop
        source.advance(1000)
        await settle(pilot)
        app.guide.look()
        await settle(pilot)
        assert "F10 goes to the split" in screen_text(app)
        await press(pilot, "question_mark", *"tour")
        assert "E Tour: ends it" in " ".join(screen_text(app).split())
        await press(pilot, "f9", "ctrl+b")
        app.guide.look()
        await settle(pilot)
        assert "@ goes on, as they have written" in screen_text(app)
        await press(pilot, "E")
        assert not app.guide.on_tour
        await press(pilot, "left")
        assert "F6 returns to it." in screen_text(app)
        palette = [PossibleCommands(app.main)._help(command) for command in app.main.possible_commands()]
        assert any("% and F11 then go to the next and the previous one." in line for line in palette)
        await press(pilot, "question_mark", *"finds")
        assert "split; % and" in screen_text(app)
        await press(pilot, "f9", "d", "5")
        assert "F12 asks for a target or a budget" in screen_text(app)
        await press(pilot, "f1")
        assert "F12 searches," in screen_text(app)
        await press(pilot, "f9", "f9", "j")
        assert "R scores questions" in screen_text(app)


async def test_a_mark_that_reaches_a_screen_or_a_notice_is_noticed() -> None:
    async with on_stage(scripted(), 3) as (app, pilot):
        check_marks(app)
        App.notify(app, f"{key_of('run')} runs.")  # past the explorer's own, which fills keys in
        await pilot.pause()
        with pytest.raises(AssertionError, match="a mark of the program's own"):
            check_marks(app)
        app.clear_notifications()
        line = app.main.query(LineWidget).first()
        line._lines = [[(f"{key_of('run')} runs.", None)]]
        with pytest.raises(AssertionError, match="a mark of the program's own"):
            check_marks(app)
