"""The questions the explorer asks: what is typed is checked at once, and Escape leaves everything as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import pytest
from rich.cells import cell_len
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static, TextArea

from explorer.ui.screens.branches import tree_lines
from explorer.ui.screens.dialog import MessageDialog
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.settings import FIELDS, typed_settings, written
from explorer.ui.screens.until import CONDITIONS, condition_fault
from explorer.ui.widgets.checkbox import CheckboxLine
from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.branches import Branch, Branches
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.requests import Prune, Restart, Run, Select, Step
from probes.schema.settings import Follow, RunSettings, Sampling
from tests.support.stage import MIDDLE, SMALL, on_stage, press, screen_text, scripted, settle, until

W = TypeVar("W", bound=Widget)


@pytest.mark.parametrize("key", ["u", "f", "p", "s", "x", "b", "f1", "question_mark"])
async def test_escape_leaves_any_dialog_without_doing_anything(key: str) -> None:
    source = scripted()
    async with on_stage(source, 20) as (app, pilot):
        await press(pilot, key)
        assert not isinstance(app.screen, MainScreen)
        await press(pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert source.asked == []


@pytest.mark.parametrize("key", ["u", "f", "p", "s", "x", "b", "f1", "question_mark"])
async def test_every_dialog_fits_a_small_terminal(key: str) -> None:
    async with on_stage(scripted(), 20, SMALL) as (app, pilot):
        await press(pilot, key)
        frame = app.screen.query_one("#frame")
        assert frame.region.bottom <= SMALL[1]
        assert frame.region.right <= SMALL[0]
        lowest = max(child.region.bottom for child in frame.children)
        assert lowest < frame.region.bottom


# Run until.


async def test_a_condition_runs_until_it_is_met_and_says_which() -> None:
    source = scripted()
    async with on_stage(source, 2) as (app, pilot):
        await press(pilot, "u")
        app.screen.query_one(Input).value = "kl>2"
        await press(pilot, "enter")
        assert source.asked == [Run(("kl>2",))]
        source.advance(60)
        await press(pilot)
        shown = screen_text(app)
        assert "‖ condition met" in shown
        assert "is above 2." in shown


async def test_a_condition_that_is_none_is_explained_and_not_run() -> None:
    source = scripted()
    async with on_stage(source, 2) as (app, pilot):
        await press(pilot, "u")
        app.screen.query_one(Input).value = "kl>"
        await press(pilot, "enter")
        assert "'kl>' is not a condition." in screen_text(app)
        assert source.asked == []


async def test_earlier_conditions_are_at_hand() -> None:
    source = scripted()
    async with on_stage(source, 2) as (app, pilot):
        await press(pilot, "u")
        app.screen.query_one(Input).value = "kl>0.7"
        await press(pilot, "enter", "u")
        assert app.screen.query_one(Input).value == "kl>0.7"
        options = app.screen.query_one(OptionList)
        assert options.get_option_at_index(0).id == "kl>0.7"


async def test_an_example_can_be_taken_over_and_changed() -> None:
    async with on_stage(scripted(), 2) as (app, pilot):
        await press(pilot, "u", "down", "down", "enter")
        assert app.screen.query_one(Input).value == "kl>2"
        assert app.screen.query_one(Input).has_focus


def test_every_example_is_a_condition() -> None:
    assert [condition_fault(text) for text, _ in CONDITIONS] == [""] * len(CONDITIONS)


# Context, prompt, settings.


@pytest.mark.parametrize(("key", "follow"), [("d", Follow.DENSE), ("p", Follow.PRUNED)])
async def test_another_context_starts_the_same_prompt_again(key: str, follow: Follow) -> None:
    source = scripted()
    prompt = source.settings.prompt
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "f", key)
        assert source.asked == [Restart(source.settings)]
        assert (source.settings.follow, source.settings.prompt) == (follow, prompt)
        assert app.view.newest == 0


async def test_the_same_context_again_changes_nothing() -> None:
    source = scripted()
    async with on_stage(source, 5) as (_, pilot):
        await press(pilot, "f", "f")
        assert source.asked == []


async def test_following_a_text_asks_for_the_text() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "f", "t")
        assert app.focused is not None
        assert app.focused.id == "text"
        assert "needs a text to score" in screen_text(app)
        assert "--text" not in screen_text(app)
        app.screen.query_one("#text", Input).value = "She sold 72."
        await press(pilot, "enter")
        assert (source.settings.follow, source.settings.text) == (Follow.TEXT, "She sold 72.")


async def test_an_edited_prompt_starts_a_new_run() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p")
        app.screen.query(TextArea).last().text = "What is half of 48?\nSay why."
        await press(pilot, "tab", "tab", "space", "f2")
        assert source.settings.prompt == "What is half of 48?\nSay why."
        assert source.settings.raw is True
        assert "What is half of 48?" in screen_text(app)


async def test_an_empty_prompt_is_refused_with_a_sentence() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "p")
        app.screen.query(TextArea).last().text = ""
        await press(pilot, "f2")
        assert "at least one character" in screen_text(app)
        assert source.asked == []


async def test_a_checkbox_shows_its_state_by_its_mark() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "p", "tab", "tab")
        assert "[ ] send it unchanged" in screen_text(app)
        await press(pilot, "enter")
        assert "[x] send it unchanged" in screen_text(app)
        assert app.screen.query_one(CheckboxLine).value


async def test_every_empty_field_of_the_settings_says_in_whole_what_empty_means() -> None:
    async with on_stage(scripted(), 5, SMALL) as (app, pilot):
        await press(pilot, "s")
        for field in app.screen.query(Input):
            assert cell_len(field.placeholder) <= field.content_size.width, field.placeholder
        assert "empty: the sampler's, or 1" in screen_text(app)
        app.screen.query_one("#analysis").focus()
        await press(pilot)
        assert "T of the compared distributions; empty takes the sampler's, or 1" in screen_text(app)


async def test_texts_and_files_of_the_settings_are_remembered_and_the_arrows_walk_through_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        for text in ("She sold 72.", "She sold 24."):
            await press(pilot, "s")
            app.screen.query_one("#follow", Input).value = "text"
            app.screen.query_one("#text", Input).value = text
            await press(pilot, "enter")
        await press(pilot, "s")
        app.screen.query_one("#text", Input).value = ""
        app.screen.query_one("#text", Input).focus()
        await press(pilot, "up", "up")
        assert app.screen.query_one("#text", Input).value == "She sold 72."
        await press(pilot, "up")
        assert app.focused is not None
        assert app.focused.id == "steps", "where there is nothing earlier, the arrow goes to the field above"
        app.screen.query_one("#text_file", Input).value = "-"
        await press(pilot, "enter")
        assert "Standard input is this screen's." in screen_text(app)


async def test_settings_are_checked_while_they_are_typed() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "s")
        app.screen.query_one("#top_p", Input).value = "1.5"
        await press(pilot)
        assert "1.5 is not a share" in str(app.screen.query_one("#verdict", Static).render())
        await press(pilot, "enter")
        assert source.asked == []
        app.screen.query_one("#top_p", Input).value = "0.9"
        app.screen.query_one("#temperature", Input).value = "0.8"
        await press(pilot, "enter")
        assert source.settings.sampling == Sampling(temperature=0.8, top_p=0.9)


@pytest.mark.parametrize(
    "settings",
    [
        RunSettings("hi"),
        RunSettings("hi", raw=True, follow=Follow.FREE, steps=12, top=5, analysis_temperature=0.5),
        RunSettings("hi", follow=Follow.TEXT, text=" a text ", sampling=Sampling(0.7, 40, 0.95, 7)),
    ],
)
def test_settings_that_are_not_changed_stay_the_same(settings: RunSettings) -> None:
    assert typed_settings(written(settings), settings) == settings


@pytest.mark.parametrize("field", sorted({field.name for field in FIELDS} - {"text", "text_file", "analysis"}))
def test_a_field_that_says_nothing_usable_is_named(field: str) -> None:
    settings = RunSettings("hi")
    with pytest.raises(BadInput) as problem:
        typed_settings(written(settings) | {field: "nonsense"}, settings)
    assert "nonsense" in problem.value.message


# Prune setting and branches.


async def test_a_prune_setting_is_checked_and_asked_for() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "x")
        field = app.screen.query_one(Input)
        assert field.value == "wanda:0.5"
        field.value = "wanda:lots"
        await press(pilot, "enter")
        assert source.asked == []
        assert "lots" in str(app.screen.query_one("#verdict", Static).render())
        field.value = "drop-attn@layers=2,99"
        await press(pilot, "enter")
        assert source.asked == []
        verdict = str(app.screen.query_one("#verdict", Static).render())
        assert "names layer 99" in verdict
        assert "Layers count from 0 to" in verdict
        field.value = "wanda:0.3"
        await press(pilot, "enter")
        assert source.asked == [Prune(parse("wanda:0.3"))]
        assert "wanda:0.3" in screen_text(app)


async def test_an_earlier_branch_is_chosen_from_the_tree() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 10) as (app, pilot):
        await press(pilot, "left", "down", "enter")
        assert app.view.branches.current == 1
        await press(pilot, "b", "up", "enter")
        assert source.asked[-1] == Select(0)
        assert app.view.newest == 10


def test_the_tree_shows_what_left_where() -> None:
    branches = Branches()
    path = scripted(Follow.DENSE).records(5)
    for record in path:
        branches.add(0, record)
    branches.open(Branch(1, 0, 3, label="“a” forced at 3"))
    branches.add(1, path[2])
    branches.open(Branch(2, 1, 3, label="“b” forced at 3"))
    branches.open(Branch(3, 0, 5, label="“[c]” forced at 5"))
    lines = [line for _, line in tree_lines(branches)]
    assert [line.split(",")[0] for line in lines] == [
        "0  as the models chose",
        "├─ 1  “a” forced at 3",
        "│  └─ 2  “b” forced at 3",
        "└─ 3  “[c]” forced at 5",
    ]
    assert lines[3].endswith("◂ shown")


# Help.


@pytest.mark.parametrize("panel", ["dense", "embedding", "logit", "probability", "accumulated", "table", "reading"])
async def test_f1_explains_the_panel_under_focus(panel: str) -> None:
    from explorer.words.explanations import explanation_of

    async with on_stage(scripted(), 5) as (app, pilot):
        app.main.query_one(f"#{panel}").focus()
        await press(pilot, "f1")
        told = explanation_of(panel)
        shown = " ".join(screen_text(app).split())
        assert told.title in shown
        assert told.formula.splitlines()[0].split("    ")[0].split("  ")[0] in shown


def test_an_explanation_is_two_sentences_and_one_on_how_to_read_it() -> None:
    from explorer.words.explanations import EXPLANATIONS

    for told in EXPLANATIONS.values():
        assert told.what.count(". ") + told.what.count("? ") >= 1
        assert told.what.endswith(".")
        assert told.read.endswith(".")
        assert told.formula
        assert told.source


async def test_the_keys_are_all_listed() -> None:
    from explorer.ui.screens.main_commands import MAIN_COMMANDS

    async with on_stage(scripted(), 5, (120, 110)) as (app, pilot):
        await press(pilot, "question_mark")
        shown = " ".join(screen_text(app).split())
        for command in MAIN_COMMANDS:
            assert command.help.split(":")[0][:40] in shown


async def test_the_keys_name_the_command_of_the_shell_that_is_typed() -> None:
    from explorer.cli.main import phier
    from explorer.words.shell_commands import SHELL_COMMANDS

    assert sorted(SHELL_COMMANDS) == sorted(name for name, one in phier.commands.items() if not one.hidden)
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "question_mark", *"export")
        assert "phier export --help explains it" in " ".join(screen_text(app).split())


async def test_the_palette_offers_only_what_is_possible() -> None:
    from explorer.ui.command_palette import PossibleCommands

    async with on_stage(scripted(live=False), 5) as (app, _):
        names = {command.name for command in PossibleCommands(app.main)._commands()}
        assert "Run: One step, or the next found" in names
        assert not names & {"Models: Prune", "Branch: Fork here", "Models: Try again", "View: Table's context"}
        assert all(": " in name for name in names)


async def test_a_command_of_the_palette_is_done() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "ctrl+p")
        await pilot.press(*"one step")
        await until(pilot, lambda: "Run: One step" in screen_text(app), "the command is found")
        await press(pilot, "enter")
        await until(pilot, lambda: source.asked == [Step()], "the command is done")


@pytest.mark.parametrize(
    ("before", "scored", "back"), [(DEFAULT_PROMPT, "", DEFAULT_PROMPT), ("Mine.", "Mine.", "Mine.")]
)
def test_the_default_prompt_never_stands_before_a_text_to_score(before: str, scored: str, back: str) -> None:
    settings = RunSettings(before)
    text = typed_settings({**written(settings), "follow": "text", "text": "some words"}, settings)
    assert (text.prompt, text.steps) == (scored, 0)
    assert typed_settings({**written(text), "follow": "dense"}, text).prompt == back


@pytest.mark.parametrize(
    ("key", "sentence"),
    [("S", "Type the path of a new file."), ("i", "Type the text of a token."), ("k", "Type a name.")],
)
async def test_a_field_that_is_empty_says_what_to_type(key: str, sentence: str) -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, key)
        app.screen.query_one(Input).value = ""
        await press(pilot, "enter")
        assert app.screen is not app.main
        assert sentence in screen_text(app)


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_a_dialog_breaks_no_line_within_a_name_or_a_number(size: tuple[int, int]) -> None:
    path = "/home/somebody/.local/share/phier/sessions/2026-11-27_13-54-38_SmolLM2-135M-Instruct_wanda-0.5.jsonl"
    setting = "wanda:0.5@layers=10,11,12,13,14,15,16,17,18,19,20,21,22,23+drop-attn@layers=24,25,26,27,28,29"
    async with on_stage(scripted(), 3, size) as (app, pilot):
        app.push_screen(MessageDialog("Nothing to compare", f"{path} holds no step.", f"Prune by {setting}."))
        await settle(pilot)
        words = screen_text(app)
        assert path.rsplit("/", 1)[1] in words
        assert "wanda:0.5" in words
        assert "+drop-attn" in words
        assert "@layers=10,11,12,13" in words
        numbers = {part for line in words.splitlines() for part in re.split("[ ,=+@:│.]", line)}
        assert numbers >= {str(layer) for layer in range(10, 30)}
