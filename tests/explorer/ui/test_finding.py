"""Finding one's way in a run by keys: the search, the list of steps, the marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.state.step_lists import StepKind, listed_figures, worst_steps
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.find import AskFind
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.steps import StepsScreen
from explorer.ui.widgets.line_widget import REVERSED
from explorer.ui.widgets.text_panel import TextPanel
from explorer.words.figures import FIGURES, Better, Scope, value
from tests.support.stage import SMALL, on_stage, press, screen_text, scripted, text_of


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))


def said(app: ExplorerApp) -> str:
    """The latest notice."""
    return [notice.message for notice in app._notifications][-1]


def keys_of(text: str) -> list[str]:
    names = {" ": "space", ">": "greater_than_sign", "<": "less_than_sign", ".": "full_stop", "=": "equals_sign"}
    return [names.get(letter, letter) for letter in text]


async def test_a_search_counts_goes_on_goes_round_and_ends() -> None:
    source = scripted()
    async with on_stage(source, 30) as (app, pilot):
        await press(pilot, "home", "slash", *keys_of("step>10"))
        assert isinstance(app.screen, AskFind)
        assert "Found at 20 of 30 steps." in screen_text(app)
        await press(pilot, "enter")
        assert app.view.cursor == 11
        assert "step>10: 1 of 20. n next, N previous, Esc ends." in text_of(app, "#status")
        await press(pilot, "n", "n")
        assert app.view.cursor == 13
        await press(pilot, "N", "N", "N")
        assert app.view.cursor == 30
        assert "20 of 20, from the end again" in text_of(app, "#status")
        assert app.view.newest == 30, "n and N measure nothing while the search is open"
        source.advance(5)
        await pilot.pause()
        assert len(app.view.hits) == 25, "new steps are searched as they come"
        await press(pilot, "escape", "n")
        assert app.view.search is None
        assert app.view.newest == 36


async def test_what_is_found_is_shown_in_both_texts() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "end", "slash", *keys_of("step<=2"), "enter", "end")
        for panel in app.screen.query(TextPanel):
            painted = [text for line in panel._draw() for text, style in line if style and style.reverse]
            assert painted
            assert "".join(painted).startswith(panel._tokens[0].text)
        assert REVERSED.reverse


async def test_a_query_that_is_wrong_says_why_and_stays() -> None:
    async with on_stage(scripted(), 10, SMALL) as (app, pilot):
        await press(pilot, "slash", *keys_of("klx>1"), "enter")
        assert isinstance(app.screen, AskFind)
        assert "No figure of a step is called klx. Did you mean kl?" in " ".join(screen_text(app).split())


async def test_what_is_found_nowhere_is_said() -> None:
    async with on_stage(scripted(), 10) as (app, pilot):
        await press(pilot, "slash", *keys_of("nowhere"), "enter")
        assert "nowhere: found at no step so far" in text_of(app, "#status")
        assert app.view.cursor == 10


async def test_marks_by_keys() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "apostrophe")
        assert said(app) == "No step of this run is marked. M marks one."
        await press(pilot, "home", "M", "right", "right", "right", "M", "end", "apostrophe")
        assert app.view.cursor == 1
        await press(pilot, "apostrophe")
        assert app.view.cursor == 4
        await press(pilot, "apostrophe")
        assert app.view.cursor == 1
        assert text_of(app, "#strip").count("⚑") == 1, "the other one is under the cursor"


@pytest.mark.parametrize("key", ["p.kl", "h.angle", "p.cos", "z.max_abs"])
async def test_the_worst_steps_are_those_of_a_plain_sort(key: str) -> None:
    async with on_stage(scripted(), 40) as (app, _):
        found = {s.step: v for s in app.view.path if (v := value(s, key, Scope.SHARED)) is not None}
        high = FIGURES[key].better is Better.HIGHER
        assert worst_steps(app.view, key) == sorted(
            found, key=lambda step: (found[step] if high else -found[step], step)
        )


async def test_the_list_jumps_to_a_step_and_comes_back_to_its_row() -> None:
    async with on_stage(scripted(), 40) as (app, pilot):
        await press(pilot, "L")
        screen = app.screen
        assert isinstance(screen, StepsScreen)
        assert "the worst steps by KL of p" in screen_text(app)
        second = worst_steps(app.view, "p.kl")[1]
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, MainScreen)
        assert app.view.cursor == second
        await press(pilot, "L", "right")
        assert "the worst steps by angle of h" in screen_text(app)
        await press(pilot, "left", "left")
        assert isinstance(app.screen, StepsScreen)
        assert app.screen.look.figure == listed_figures(app.view)[-1]


async def test_the_list_of_marks_and_of_what_is_found() -> None:
    async with on_stage(scripted(), 40, SMALL) as (app, pilot):
        await press(pilot, "L", "2")
        assert "No step of this run is marked." in screen_text(app)
        await press(pilot, "1", "M", "2")
        assert isinstance(app.screen, StepsScreen)
        assert app.screen.table.rows == app.view.marked == [worst_steps(app.view, "p.kl")[0]]
        assert "⚑" in screen_text(app)
        await press(pilot, "right")
        assert said(app) == "Only the worst steps (1) are sorted by a figure."
        await press(pilot, "slash", *keys_of("step<4"), "enter")
        assert app.screen.look.kind is StepKind.FOUND
        assert list(app.screen.table.rows) == [1, 2, 3]
        await press(pilot, "enter", "n")
        assert app.view.cursor == 2
