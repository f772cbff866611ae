"""The prompt editor: turns, template arguments, prompts from a file, earlier ones, and the tokens before a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, TextArea

from explorer.state.typed_history import TypedHistory
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.prompt import AskPrompt, read_args, written_args
from explorer.ui.screens.prompt_file import prompt_line
from explorer.ui.screens.prompt_tokens import PromptTokens
from explorer.ui.widgets.history_field import NOTHING_EARLIER
from explorer.ui.widgets.prompt_tokens import TokenRows
from probes.schema.conversation import Conversation, TemplateArg, Turn
from probes.schema.errors import BadInput
from probes.schema.requests import RenderPrompt, Restart
from probes.schema.settings import Follow
from probes.system.user_folders import CONFIG_VARIABLE
from tests.support.snapshots import Compare, Do, before, seen
from tests.support.stage import MIDDLE, PROMPT, SMALL, explorer, on_stage, press, screen_text, scripted, settle

TALK = [
    {"role": "system", "content": "You are a tutor."},
    {"role": "user", "content": "What is 2+2?"},
    {"role": "assistant", "content": "4."},
    {"role": "user", "content": "And times 3?"},
]
SAID = Conversation(tuple(Turn(one["role"], one["content"]) for one in TALK[:-1]), "And times 3?")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "own"))
    return tmp_path


@pytest.fixture
def file(folder: Path) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in ("Name a river.", TALK, {"prompt": "Why?"})))
    TypedHistory().add("file", str(path))
    return str(path)


async def type_in(app: ExplorerApp, pilot: Pilot[int], text: str) -> None:
    """Pastes into the field in focus."""
    app.post_message(Paste(text))
    await settle(pilot)


def verdict(app: ExplorerApp) -> str:
    """The sentence of the dialog."""
    return str(app.screen.query_one("#verdict", Static).content)


# Turns.


async def test_a_system_prompt_and_turns_are_typed_with_keys_alone() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "f4")
        await type_in(app, pilot, "Seventy-two.")
        await press(pilot, "f4")
        await type_in(app, pilot, "Are you sure?")
        await press(pilot, "f4")
        await type_in(app, pilot, "Yes, ")
        assert "the models go on writing it" in verdict(app)
        await press(pilot, "shift+tab", "shift+tab", "shift+tab", "shift+tab")
        await type_in(app, pilot, "Be brief.")
        await press(pilot, "f2")
        settings = source.settings
        assert source.asked == [Restart(settings)]
        assert settings.turns == (Turn("system", "Be brief."), Turn("user", PROMPT), Turn("assistant", "Seventy-two."))
        assert (settings.prompt, settings.begun) == ("Are you sure?", "Yes, ")
        await press(pilot, "p")
        assert [area.text for area in app.screen.query(TextArea)] == [
            "Be brief.", PROMPT, "Seventy-two.", "Are you sure?", "Yes, ",
        ]  # fmt: skip


async def test_what_is_typed_replaces_the_prompt_and_an_arrow_keeps_it() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p")
        assert "What you type replaces the marked text" in verdict(app)
        assert verdict(app).startswith("F2 runs it; ⏎ only begins a new line.")
        assert "F2 runs ·" in screen_text(app)
        await press(pilot, "H", "i", "enter", "f2")
        assert source.settings.prompt == "Hi\n"
        await press(pilot, "p", "right", "y", "o", "f2")
        assert source.settings.prompt == "Hi\nyo"


async def test_enter_in_the_field_of_one_line_runs_the_prompt() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "shift+tab")
        await press(pilot, "tab", "tab")
        await type_in(app, pilot, "enable_thinking=false")
        await press(pilot, "enter")
        assert source.asked == [Restart(source.settings)]
        assert str(source.settings.template_args[0]) == "enable_thinking=false"


async def test_an_empty_box_is_left_out_and_waits_for_its_turn() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "f4", "f4", "f4")
        assert len(app.screen.query(TextArea)) == 3
        await press(pilot, "f2")
        assert (source.settings.turns, source.settings.prompt) == ((), PROMPT)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (("p", "shift+tab", "x", "tab", "ctrl+a", "ctrl+k", "f2"), "ends without a turn of the user"),
        (("p", "tab", "a", "f2"), "has no = sign"),
        (("p", "tab", "quotation_mark", "f2"), "quotation mark has no other one"),
        (("p", "f4", "x", "tab", "tab", "space", "f2"), "A raw prompt uses no chat template"),
    ],
)
async def test_what_no_run_can_have_is_a_sentence_in_the_editor(keys: tuple[str, ...], sentence: str) -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, *keys)
        assert isinstance(app.screen, AskPrompt)
        assert sentence in verdict(app)
        assert source.asked == []
        await press(pilot, "f3")
        assert isinstance(app.screen, AskPrompt)


async def test_template_arguments_are_typed_and_shown_again() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "tab")
        await type_in(app, pilot, "enable_thinking=false day='26 July'")
        await press(pilot, "f2")
        args = (TemplateArg("enable_thinking", False), TemplateArg("day", "26 July"))
        assert source.settings.template_args == args
        await press(pilot, "s", "enter")
        assert source.settings.template_args == args, "other settings keep them"
        await press(pilot, "p")
        assert app.screen.query_one("#template", Input).value == "enable_thinking=false 'day=26 July'"


def test_arguments_are_read_back_from_their_text() -> None:
    args = (TemplateArg("a", None), TemplateArg("b", "it's"), TemplateArg("c", "true"), TemplateArg("d", 0.5))
    assert read_args(written_args(args)) == args
    with pytest.raises(BadInput, match="quotation mark"):
        read_args("a='b")


async def test_a_conversation_keeps_its_prompt_when_a_text_is_followed() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "shift+tab")
        await type_in(app, pilot, "Be brief.")
        await press(pilot, "f2", "f", "t")
        await type_in(app, pilot, "one\r\ntwo")
        await press(pilot, "enter")
        assert (source.settings.follow, source.settings.text) == (Follow.TEXT, "one\ntwo")
        assert (source.settings.turns, source.settings.prompt) == ((Turn("system", "Be brief."),), PROMPT)


# A text from a file.


async def test_a_text_to_score_comes_from_a_file(folder: Path) -> None:
    page = folder / "page.txt"
    page.write_text("a page\n" * 400)
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "f", "t", "tab")
        await type_in(app, pilot, str(folder / "pag.txt"))
        await press(pilot, "enter")
        assert "page.txt" in verdict(app), "the file beside it that could be meant"
        app.screen.query_one("#text_file", Input).value = str(page)
        await press(pilot, "enter")
        assert source.settings.text == page.read_text()
        await press(pilot, "s")
        assert app.screen.query_one("#text", Input).placeholder == "the present one, 2,800 characters"
        await press(pilot, "enter")
        assert source.settings.text == page.read_text()


# From a file of prompts.


async def test_a_prompt_is_chosen_from_a_file(file: str) -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "f5")
        assert app.screen.query_one("#path", Input).value == file
        assert "[system, 2 turns] And times 3?" in screen_text(app)
        await press(pilot, "down", "down", "enter")
        assert isinstance(app.screen, AskPrompt)
        await press(pilot, "f2")
        assert source.settings.conversation == SAID


async def test_a_file_that_cant_be_read_is_a_sentence(folder: Path) -> None:
    bad = folder / "bad.jsonl"
    bad.write_text('{"messages": [{"content": "Hi"}]}')
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "p", "f5", "enter")
        assert "Name a file with prompts." in verdict(app)
        await type_in(app, pilot, str(bad))
        await press(pilot, "enter")
        assert "has no role; it has content" in verdict(app)
        assert not app.screen.query_one(OptionList).option_count
        app.screen.query_one("#path", Input).value = str(folder / "prompts.txt") + "#2"
        (folder / "prompts.txt").write_text("one\ntwo\n")
        await press(pilot, "enter", "enter")
        assert app.screen.query(TextArea).last().text == "two"


def test_a_prompt_in_the_list_says_what_is_before_it() -> None:
    assert prompt_line(1, Conversation((), "a\nb")) == "   1  a b"
    assert prompt_line(2, Conversation((Turn("user", "a"),), "b", "c")) == "   2  [1 turn, answer begun] b"


# Earlier ones.


async def test_the_arrows_go_through_what_was_typed_earlier() -> None:
    for text in ("What is b?", "Why?\nSay why.", "What is a?"):
        TypedHistory().add("prompt", text)
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "p", "up", "up")
        area = app.screen.query(TextArea).last()
        assert area.text == "Why?\nSay why."
        await press(pilot, "up")
        assert area.text == "What is b?"
        await press(pilot, "down", "down", "down")
        assert area.text == PROMPT
        area.clear()
        await type_in(app, pilot, "Wh")
        await press(pilot, "y", "up", "up")
        assert area.text == "Why?\nSay why."
        assert any(notice.message == NOTHING_EARLIER for notice in app._notifications)
        await press(pilot, "down", "down")
        assert area.text == "Why"


async def test_what_a_run_begins_with_is_remembered_for_the_next_program() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "p", "shift+tab")
        await type_in(app, pilot, "Be brief.")
        await press(pilot, "f2", "x")
        app.screen.query_one("#setting", Input).value = "wanda:0.3"
        await press(pilot, "enter", "x")
        app.screen.query_one("#setting", Input).value = "wanda:0.4"
        await press(pilot, "enter")
    history = TypedHistory()
    assert (history.entries("prompt"), history.entries("system")) == ((PROMPT,), ("Be brief.",))
    assert history.entries("setting") == ("wanda:0.4", "wanda:0.3")
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "x", "up", "up")
        assert app.screen.query_one("#setting", Input).value == "wanda:0.3"
        await press(pilot, "down", "down")
        assert app.screen.query_one("#setting", Input).value == "wanda:0.5"
        await press(pilot, "down")
        assert isinstance(app.focused, OptionList), "where nothing is newer, the arrow goes to the list"


async def test_a_history_that_cant_be_written_is_told_and_the_run_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a file").write_text("")
    monkeypatch.setenv(CONFIG_VARIABLE, str(folder / "a file"))
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "f2")
        assert len(source.asked) == 1
        assert any(notice.title == "Not remembered" for notice in app._notifications)


# Tokens.


async def test_the_tokens_are_shown_before_a_run_and_the_editor_stays_as_it_is() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p", "shift+tab")
        await type_in(app, pilot, "Be brief.")
        await press(pilot, "f3")
        assert isinstance(app.screen, PromptTokens)
        (request,) = source.asked
        assert isinstance(request, RenderPrompt)
        shown = screen_text(app)
        assert "<|im_start|>system↵" in shown
        assert "of them special" in shown
        rows = app.screen.query_one(TokenRows)
        await press(pilot, "end")
        assert rows.row == rows.count - 1
        await press(pilot, "pageup", "down", "home", "left")
        assert rows.row == 0
        await press(pilot, "escape")
        assert [area.text for area in app.screen.query(TextArea)] == ["Be brief.", PROMPT]
        assert app.view.newest == 5, "nothing was run"


async def test_a_prompt_that_the_template_refuses_is_a_sentence_on_that_page(folder: Path) -> None:
    (folder / "tool.json").write_text(json.dumps([{"role": "tool", "content": "x"}, {"role": "user", "content": "y"}]))
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "p", "f5")
        await type_in(app, pilot, str(folder / "tool.json"))
        await press(pilot, "enter", "enter", "f3")
        assert "knows no role 'tool'" in screen_text(app)


# As they look.


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
@pytest.mark.parametrize("keys", [(), ("f3", "down", "down"), ("f5",)], ids=["editor", "tokens", "file"])
def test_a_conversation(
    snap_compare: Compare, file: str, folder: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], keys: Do
) -> None:
    monkeypatch.chdir(folder)
    TypedHistory().add("file", "prompts.jsonl")
    source = scripted()
    source.settings = source.settings.__class__(SAID.prompt, follow=Follow.FREE, turns=SAID.turns, begun="Twelve, ")
    assert seen(explorer(source), snap_compare, size, before(source, 30, "p", *keys))
