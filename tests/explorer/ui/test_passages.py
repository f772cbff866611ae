"""The search for passages, by keys alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from explorer.ui.app import ExplorerApp
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.passages import AskPassages, PassagesScreen, search_of
from explorer.ui.widgets.passage_table import PassageTable
from probes.schema.events import PassagesFound
from probes.schema.passages import Passages
from probes.schema.requests import Cancel, FindPassages, Request, Restart, Run
from probes.schema.settings import Follow
from tests.support.stage import on_stage, press, screen_text, scripted, settle, text_of, until

TYPED = ("end", *["backspace"] * 7, *"text", "enter")
"""Where to look."""


async def found(app: ExplorerApp, pilot: Pilot[int]) -> None:
    """Until the dialog has closed."""
    await until(pilot, lambda: isinstance(app.screen, PassagesScreen), "the passages")


@pytest.fixture(autouse=True)
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("Of Peru it is said that the seat is Lima.", "utf-8")


async def test_it_asks_where_to_look_and_lists_what_it_finds() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "P")
        assert isinstance(app.screen, AskPassages)
        await press(pilot, *TYPED)
        await found(app, pilot)
        assert source.asked[-1] == FindPassages("text")
        text = screen_text(app)
        assert "by mean KL" in text
        assert "30 passages, 720 tokens scored" in text
        table = app.screen.query_one(PassageTable)
        kl = [row.mean_kl for row in table.rows]
        assert kl == sorted(kl, reverse=True)
        await press(pilot, "escape", "P")
        assert isinstance(app.screen, PassagesScreen), "what was found is still listed"


async def test_passages_of_items_say_where_their_answers_are_compared() -> None:
    async with on_stage(scripted(Follow.DENSE), 5) as (app, pilot):
        await press(pilot, "P", "enter")
        await found(app, pilot)
        text = " ".join(screen_text(app).replace("│", " ").split())
        assert "a split may be in the question itself." in text
        assert "To compare the answers: j on the main screen." in text


async def test_where_nothing_is_the_dialog_says_so_and_stays() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "P", "end", *["backspace"] * 7, *"../nofile.txt", "enter")
        await until(pilot, lambda: "There is no" in str(app.screen.query_one("#verdict", Static).content), "the fault")
        assert isinstance(app.screen, AskPassages)
        assert "There is no file ../nofile.txt." in str(app.screen.query_one("#verdict", Static).content)
        assert not any(isinstance(one, FindPassages) for one in source.asked)
        await press(pilot, "x")
        assert isinstance(app.screen, AskPassages)


async def test_the_next_order_searches_again() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "P", *TYPED)
        await found(app, pilot)
        await press(pilot, "s")
        assert source.asked[-1] == FindPassages("text", "max_kl")
        assert "by largest KL" in screen_text(app)
        assert "max KL▾" in screen_text(app)


async def test_a_passage_opens_on_the_main_screen() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "P", *TYPED)
        await found(app, pilot)
        await press(pilot, "down")
        row = app.screen.query_one(PassageTable).rows[1]
        await press(pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        opened = app.view.header.settings
        assert (opened.follow, opened.raw, opened.prompt, opened.text) == (Follow.TEXT, True, row.context, row.text)
        assert source.asked[-2:] == [Restart(opened), Run()]
        source.advance(1)
        await press(pilot, "space")
        assert f"Passage text:{row.place}. P goes back to the list." in text_of(app, "#status")
        await press(pilot, "P")
        assert isinstance(app.screen, PassagesScreen)
        assert app.screen.chosen == row


async def test_a_search_in_progress_is_stopped_by_escape() -> None:
    source = scripted(Follow.DENSE)
    ask = source.ask

    def slow(request: Request) -> None:
        if isinstance(request, FindPassages):
            source.asked.append(request)
            source.emit(PassagesFound(Passages("mean_kl", (), 0, 0), final=False, request=request.id))
        elif isinstance(request, Cancel):
            source.asked.append(request)
        else:
            ask(request)

    source.ask = slow
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "P", *TYPED)
        await found(app, pilot)
        assert "The first passages are being scored." in screen_text(app)
        await press(pilot, "escape")
        assert source.asked[-1] == Cancel(source.asked[-2].id)


async def test_a_recording_can_t_be_searched() -> None:
    async with on_stage(scripted(live=False), 5) as (app, pilot):
        await press(pilot, "P")
        await settle(pilot)
        assert isinstance(app.screen, PassagesScreen)
        assert "Searching needs the models" in screen_text(app)


def test_a_search_from_the_fields() -> None:
    assert search_of(" a.txt ", "largest", "20") == FindPassages("a.txt", "max_kl", 20)
    for wrong in (("", "mean", "5"), ("a", "", "5"), ("a", "speed", "5"), ("a", "mean", "0"), ("a", "mean", "many")):
        assert isinstance(search_of(*wrong), str)
