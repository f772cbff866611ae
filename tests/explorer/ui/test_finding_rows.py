"""Finding in lists: items, passages, tasks and cells are searched with the keys and the words of the main screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from explorer.state.row_search import RowSearch, Searchable, SearchedRow
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.find import AskFind
from explorer.ui.screens.items import ItemsScreen
from explorer.ui.screens.list_page import ListPage
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.sweep import SweepScreen
from explorer.ui.screens.verdict import VerdictScreen
from probes.schema.errors import BadInput
from tests.support.formula_sweep import some_sweep
from tests.support.stage import Clock, at_rest, on_stage, press, screen_text, scripted, settle
from tests.support.swept import ScriptedSweep

ANIMALS = Searchable("animal", ("legs",), ("tame",), (("cat", "a text"), ("tame", "it is")))
ROWS = [
    SearchedRow("a cat", {"legs": 4.0}, frozenset({"tame"})),
    SearchedRow("a Heron", {"legs": 2.0}),
    SearchedRow("a worm", {"legs": None}),
    SearchedRow("a Cat", {"legs": 4.0}, frozenset({"tame"})),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("cat", [1, 4]),
        ("Cat", [4]),
        ("legs<3", [2]),
        ("tame", [1, 4]),
        ("a & legs>=4 & Cat", [4]),
        ('"tame"', []),
        ("emu", []),
    ],
)
def test_a_row_is_found_by_text_figure_and_event(text: str, places: list[int]) -> None:
    assert RowSearch(text, ANIMALS).look(0, lambda: ROWS).places == places


def test_rows_are_looked_at_again_only_if_they_have_changed() -> None:
    search = RowSearch("cat", ANIMALS)
    looked = []
    for key in (1, 1, 2):
        search.look(key, lambda: looked.append(1) or ROWS)  # type: ignore[func-returns-value]
    assert len(looked) == 2


def test_an_unknown_figure_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="No animal has a figure called leg") as refused:
        RowSearch("leg>3", ANIMALS)
    assert "Did you mean legs?" in refused.value.hint


def list_page(app: ExplorerApp) -> ListPage:
    assert isinstance(app.screen, ListPage)
    return app.screen


async def test_items_are_found_passed_through_and_the_search_outlives_an_opened_item() -> None:
    source = scripted()
    async with on_stage(source, 3) as (app, pilot):
        await press(pilot, "j", "r")
        source.score()
        await settle(pilot)
        await press(pilot, "slash")
        app.screen.query_one("#query", Input).value = "lost>2"
        await press(pilot, "enter", "enter")
        items = list_page(app)
        assert isinstance(items, ItemsScreen), "the first task of which more than two items are lost"
        lost = [place for place, row in enumerate(items.searched_rows()) if "lost" in row.events]
        assert len(lost) > 2
        await press(pilot, "slash", *"lost")
        assert isinstance(app.screen, AskFind)
        assert f"Found at {len(lost)} of {items.count} items." in screen_text(app)
        await press(pilot, "enter")
        assert items.row == lost[0]
        assert f"lost: 1 of {len(lost)}. n next, N previous, Esc ends." in screen_text(app)
        await press(pilot, "n")
        assert items.row == lost[1]
        await press(pilot, "N", "N")
        assert items.row == lost[-1]
        assert "from the end again" in screen_text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        await press(pilot, "j")
        assert list_page(app).search is not None
        await press(pilot, "escape")
        assert list_page(app).search is None
        assert isinstance(app.screen, ItemsScreen), "the first Esc ends the search"
        await press(pilot, "escape")
        assert isinstance(app.screen, VerdictScreen)


async def test_cells_of_a_sweep_are_found_row_by_row_and_n_is_the_next_family_again_afterwards() -> None:
    app = ExplorerApp(ScriptedSweep(some_sweep()), clock=Clock())
    async with app.run_test(size=(120, 36)) as pilot:
        await at_rest(app, pilot)
        sweep = app.screen
        assert isinstance(sweep, SweepScreen)
        await press(pilot, "slash", *"knee", "enter")
        assert sweep.grid is not None
        found = []
        for _ in range(3):
            found.append((sweep.look.row(sweep.grid), sweep.look.column(sweep.grid)))
            await press(pilot, "n")
        assert found == sorted(found)
        assert all(sweep.grid.is_knee(*place) for place in found)
        assert "knee: 4 of 8. n next, N previous, Esc ends." in screen_text(app)
        family = sweep.grid.family(sweep.look.row(sweep.grid))
        await press(pilot, "escape", "n")
        assert sweep.search is None
        assert sweep.grid.family(sweep.look.row(sweep.grid)) != family
