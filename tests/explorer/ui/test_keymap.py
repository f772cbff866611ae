"""Keys that a person has chosen: they act, the key line, `?` and the palette show them, and mistakes are sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.keys import _character_to_key
from textual.pilot import Pilot

from explorer.config.config_file import Config, config_of
from explorer.config.example import example_config
from explorer.config.screen_options import SCREEN_DEFAULTS, GlyphSet, ScreenOptions
from explorer.ui.app import ExplorerApp
from explorer.ui.command_palette import PossibleCommands
from explorer.ui.key_names import command_id, drawn_key, is_text, key_names, textual_keys, written_keys
from explorer.ui.keymap import chosen_keys, every_command, key_faults
from explorer.ui.screens.until import AskUntil
from probes.schema.errors import BadInput
from tests.support.stage import Clock, press, screen_text, scripted, settle


def keys(text: str) -> Config:
    found = config_of(f"[keys]\n{text}", Path("config.toml"))
    assert found.faults == ()
    return found


@asynccontextmanager
async def explored(
    text: str, size: tuple[int, int] = (160, 60), look: ScreenOptions = SCREEN_DEFAULTS
) -> AsyncIterator[tuple[ExplorerApp, Pilot[int]]]:
    source = scripted()
    app = ExplorerApp(source, keymap=chosen_keys(keys(text)), look=look, clock=Clock())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        source.advance(20)
        await settle(pilot)
        yield app, pilot


async def test_a_chosen_key_acts_and_the_usual_one_no_longer_does() -> None:
    async with explored('until = "B"\nstep = ["%", "f7"]') as (app, pilot):
        await press(pilot, "u")
        assert app.screen is app.main
        await press(pilot, "B")
        assert isinstance(app.screen, AskUntil)
        await press(pilot, "escape")
        steps = []
        app.main.action_step = lambda: steps.append(1)
        await press(pilot, "n", "percent_sign", "f7")
        assert steps == [1, 1]


async def test_two_commands_may_exchange_their_keys() -> None:
    async with explored('until = "x"\nprune = "u"') as (app, pilot):
        await press(pilot, "x")
        assert isinstance(app.screen, AskUntil)


async def test_every_place_that_names_keys_shows_the_chosen_ones() -> None:
    async with explored('step = "%"\nmove-left = "f5"\nwatched = "ctrl+w"\nleave = "f9"') as (app, pilot):
        line = screen_text(app).splitlines()[-1]
        assert "% step" in line
        assert "F5 → cursor" in line
        helps = {command.name: PossibleCommands(app.main)._help(command) for command in app.main.possible_commands()}
        assert helps["Run: One step, or the next found"].startswith("%  ")
        await press(pilot, "question_mark")
        shown = " ".join(screen_text(app).split())
        assert "% Measures one step" in shown
        assert "Ctrl+W Shows the watched tokens" in shown
        assert "F9 closes" in shown
        await press(pilot, "f9")
        assert app.screen is app.main


async def test_only_ascii_is_shown_of_keys_if_only_that_may_be() -> None:
    async with explored('step = "%"', look=ScreenOptions(glyphs=GlyphSet.ASCII)) as (app, _):
        line = screen_text(app).splitlines()[-1]
        assert line.isascii()
        assert "Left Right cursor" in line
        assert "Enter fork" in line


FAULTS = [
    ('stepp = "b"', "there is no command stepp. Did you mean step?"),
    ('step = "ctl+b"', "step: ctl+b is no key. Did you mean ctrl+b?"),
    ('step = "escap"', "step: escap is no key. Did you mean escape?"),
    ('step = "u"', "u can't be the key of step: it is that of until (Runs until a condition is met.)"),
    ('step = "b"\nuntil = "b"', "can't be the key of"),
    ('step = ">"', "> can't be the key of step: it is that of tour-on (Tour: does the key of the stop;"),
    ('tour-end = "u"', "u can't be the key of tour-end: it is that of until"),
    ('step = "tab"', "step: tab is a key of the whole program."),
    ('leave = "b"', "leave: b would be typed into the fields of dialogs"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_what_can_not_be_is_said_with_its_line(text: str, said: str) -> None:
    faults = key_faults(keys(text))
    assert any(said in str(fault) for fault in faults), list(map(str, faults))
    assert all("config.toml, line" in str(fault) and fault.hint for fault in faults)
    with pytest.raises(BadInput):
        chosen_keys(keys(text))


def test_the_usual_keys_may_be_written_out() -> None:
    """Every line of the example's keys, taken together, changes nothing."""
    lines = example_config(every_command()).partition("[keys]\n")[2].splitlines()
    # Its key on the main screen is another one than on the screen that explains a token.
    config = keys("\n".join(line.removeprefix("# ") for line in lines if not line.startswith("# retry ")))
    assert len(config.keys) == len(every_command()) - 1 > 100
    assert key_faults(config) == []


def test_names_of_commands_and_keys() -> None:
    assert command_id("app.next_theme", "t") == "next-theme"
    assert command_id("move(-1, 0)", "up") == "move-up"
    assert textual_keys("?,B,space, f5,F7,PageUp,ctrl+T,-") == "question_mark,B,shift+b,space,f5,f7,pageup,ctrl+t,minus"
    assert written_keys("question_mark") == ["?"]
    assert written_keys("W,shift+w") == ["W"]
    assert written_keys("slash,r") == ["/", "r"]
    assert [drawn_key(one) for one in ("left", "ctrl+w", "f5", "B,shift+b", "question_mark", "escape")] == [
        "←", "Ctrl+W", "F5", "B", "?", "Esc",
    ]  # fmt: skip
    assert [is_text(one) for one in ("b", "backspace", "f5", "ctrl+b", "escape")] == [True, True, False, False, False]


async def test_no_character_that_is_typed_meets_a_method_of_its_name() -> None:
    """Textual calls a widget's method `_key_at` for @, as it does for the other keys."""
    async with explored("") as (app, pilot):
        keys_of = {_character_to_key(chr(code)) for code in range(33, 127)} | set(key_names())
        for screen in app.screen_stack:
            for node in (app, screen, *screen.query("*")):
                own = {
                    name for cls in type(node).__mro__ if cls.__module__.startswith("explorer") for name in vars(cls)
                }
                assert not {f"{begin}{key}" for begin in ("key_", "_key_") for key in keys_of} & own
        await press(pilot, "at")
        assert app.screen is app.main
