"""Watched tokens are marked, charted and chosen on the screen, and shown as data."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input

from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.watching import AskWatched, WatchScreen
from explorer.ui.widgets.next_tokens import NextTokens
from explorer.ui.widgets.watch_board import WatchRow
from probes.schema.requests import Watch
from probes.schema.settings import Follow, RunSettings
from probes.schema.watch import WatchedGroup, parse_watch
from tests.support.snapshots import SIZES, Compare, before, seen
from tests.support.stage import MIDDLE, PROMPT, SMALL, explorer, on_stage, press, screen_text, text_of

FOUR = 'A=" and" | B=" half","字" | "\\u001b[31m" | "[bold]"'


def watching(text: str = FOUR, follow: Follow = Follow.FREE, **more: Any) -> ToySource:
    return ToySource(RunSettings(PROMPT, follow=follow, watch=parse_watch(text)), **more)


@SIZES
def test_watched_tokens_over_the_steps(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = watching()
    assert seen(explorer(source), snap_compare, size, before(source, 42, "W"))


@SIZES
def test_watched_tokens_in_the_table(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = watching(follow=Follow.DENSE)
    assert seen(explorer(source), snap_compare, size, before(source, 42))


def test_naming_the_tokens(snap_compare: Compare) -> None:
    source = watching()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 20, "W", "e"))


async def test_the_table_marks_watched_tokens_and_the_figures_follow_the_cursor() -> None:
    async with on_stage(watching(), 42) as (app, pilot):
        head, first, *_, last = text_of(app, "#table").splitlines()
        assert "token" in head
        assert '" and"' in first
        assert "◆" in first
        assert last.startswith(" ◆ A 0.88 → 0.73  B ")
        assert "␛[31m" in last
        assert "[bold]" in last
        assert "\x1b" not in screen_text(app)
        await press(pilot, "W", "home")
        recorded = app.view.path[0].shared
        assert recorded is not None
        assert recorded.watched is not None
        assert "step 1/42" in screen_text(app)
        await press(pilot, "s")
        shown = screen_text(app)
        assert "shares p̂ and q̂" in shown
        assert f"dense  p̂ {recorded.watched.groups[0].share_dense:>7.2f}" in shown
        await press(pilot, "y", "y")
        assert "all groups" in app.clipboard


async def test_a_table_too_narrow_for_all_says_how_many_are_left_out() -> None:
    text = " | ".join(f'{word * 9}=" {word}"' for word in ("half", "in", "how", "was", "many"))
    async with on_stage(watching(text), 42, SMALL) as (app, _pilot):
        assert text_of(app, "#table").splitlines()[-1].endswith("+4")


async def test_the_chosen_token_is_watched_at_every_step_and_the_cursor_stays() -> None:
    async with on_stage(watching(""), 30) as (app, pilot):
        assert "◆" not in screen_text(app), "nothing is watched"
        await press(pilot, "left", "left", "down")
        chosen = app.main.query_one(NextTokens).chosen
        assert chosen is not None
        await press(pilot, "asterisk")
        assert app.view.watch == (WatchedGroup(chosen.token, (chosen.token_id,)),)
        assert (app.view.cursor, app.view.newest) == (28, 30)
        assert all(step.shared and step.shared.watched for step in app.view.path)
        await press(pilot, "down", "asterisk")
        assert app.view.watch == ()
        assert app.view.cursor == 28


async def test_other_tokens_are_named_on_its_screen() -> None:
    source = watching("")
    async with on_stage(source, 12) as (app, pilot):
        await press(pilot, "W")
        assert "No token is watched." in screen_text(app)
        await press(pilot, "e")
        field = app.screen.query_one(Input)
        field.value = 'A=" and", '
        await press(pilot, "enter")
        assert isinstance(app.screen, AskWatched)
        assert "A token or a label is empty." in screen_text(app)
        field.value = 'A=" and" | " half"'
        await press(pilot)
        assert 'A is " and"' in screen_text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, WatchScreen)
        assert [type(request) for request in source.asked][-1] is Watch
        assert len(app.screen.query(WatchRow)) == 3
        assert app.view.newest == 12
        await press(pilot, "e")
        app.screen.query_one(Input).value = "nonsense"
        await press(pilot, "enter")
        assert "“nonsense” is no token of toy models." in screen_text(app)
        assert len(app.view.watch) == 2, "the run stays"
        assert app.view.newest == 12


async def test_a_recording_says_that_other_tokens_need_the_models() -> None:
    async with on_stage(watching(live=False), 12) as (app, pilot):
        for keys in (("asterisk",), ("W", "e")):
            app.clear_notifications()
            await press(pilot, *keys)
            assert_notified(app, "This key needs the models.")


def assert_notified(app: ExplorerApp, sentence: str) -> None:
    assert any(sentence in notice.message for notice in app._notifications)
