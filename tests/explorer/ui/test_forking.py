"""Forking from the screen: at the step the row stands for, with any token, and never on a run that has gone."""

from __future__ import annotations

from textual.widgets import Input

from explorer.ui.messages import TokenChosen
from explorer.ui.widgets.next_tokens import NextTokens
from probes.schema.prune_setting import parse
from probes.schema.requests import Fork, Prune, Select
from probes.schema.settings import Follow
from tests.support.stage import on_stage, press, screen_text, scripted, settle, text_of


async def test_keys_that_follow_at_once_do_not_move_the_fork() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "home", "down")
        table = app.main.query_one(NextTokens)
        token = table.chosen
        assert token is not None
        table.confirm()
        app.view.move(3)  # before the message is handled
        await settle(pilot)
        assert source.asked[-1] == Fork(1, dense=token.token_id)


async def test_a_row_of_a_branch_that_is_no_longer_shown_forks_nothing() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 9) as (app, pilot):
        old = app.view.path[2]
        source.ask(Prune(parse("wanda:0.3")))
        await settle(pilot)
        asked = list(source.asked)
        app.main.post_message(TokenChosen(3, " clips", old))
        await settle(pilot)
        assert source.asked == asked


async def test_any_token_can_be_typed() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "left", "left", "i")
        app.screen.query_one(Input).value = " clips"
        await settle(pilot)
        assert '" clips"' in screen_text(app)
        await press(pilot, "enter")
        assert source.asked[-1] == Fork(7, dense=" clips")


async def test_a_typed_token_asks_where_once_the_texts_have_diverged() -> None:
    source = scripted(Follow.FREE)
    async with on_stage(source, 30) as (app, pilot):
        await press(pilot, "i")
        app.screen.query_one(Input).value = " clips"
        await press(pilot, "enter", "p")
        assert source.asked[-1] == Fork(30, pruned=" clips")


async def test_a_given_text_can_be_forked_too() -> None:
    source = scripted(Follow.TEXT)
    async with on_stage(source, 3) as (_app, pilot):
        await press(pilot, "left", "down", "enter")
        asked = source.asked[-1]
        assert isinstance(asked, Fork)
        assert asked.step == 2
        assert asked.dense is not None


async def test_a_recording_says_what_a_key_would_need() -> None:
    source = scripted(Follow.DENSE, live=False)
    async with on_stage(source, 3) as (app, pilot):
        for key in ("x", "enter", "f", "s", "i"):
            app.clear_notifications()
            await press(pilot, key)
            assert [notice.message for notice in app._notifications] == ["This key needs the models."], key
            assert app.screen is app.main


async def test_a_token_that_is_taken_already_makes_no_equal_branch() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "home", "enter")
        assert source.asked == [], "the text takes its likeliest token anyway"
        assert [notice.title for notice in app._notifications] == ["Fork"]
        await press(pilot, "down", "enter")
        assert len(app.view.branches) == 2
        table = app.main.query_one(NextTokens)
        forced = app.view.path[0].taken
        assert forced is not None
        table.row = next(place for place, row in enumerate(table._rows) if row.token_id == forced.token_id)
        await press(pilot, "enter")
        assert len(app.view.branches) == 2
        table.row = 0
        await press(pilot, "enter")
        assert source.asked[-1] == Select(0), "the branch that takes it is shown instead"


async def test_a_fork_says_that_it_waits() -> None:
    async with on_stage(scripted(Follow.DENSE), 9) as (app, pilot):
        await press(pilot, "left", "left", "down", "enter")
        assert "Branch 1, from step 7 on. Space continues." in text_of(app, "Status")
