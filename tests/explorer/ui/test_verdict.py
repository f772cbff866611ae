"""The verdict screen and the items behind it, by keys alone: what is asked, what fills, what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from explorer.state.item_list import answer_steps
from explorer.ui.app import ExplorerApp
from explorer.ui.screens import list_page
from explorer.ui.screens.ask_verdict import AskTasks, margin_of, tasks_of
from explorer.ui.screens.items import ItemsScreen
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.similarities import SimilaritiesScreen
from explorer.ui.screens.verdict import VerdictScreen
from explorer.ui.widgets.item_table import ItemTable
from explorer.ui.widgets.similarity_maps import SimilarityHeat
from explorer.ui.widgets.verdict_table import VerdictTable
from probes.schema.events import Judged
from probes.schema.requests import Cancel, Judge, Prune, Restart, Run
from probes.schema.settings import Follow
from tests.support.stage import SMALL, on_stage, press, screen_text, scripted, settle, text_of, until

ALL = 1000


def verdict(app: ExplorerApp) -> VerdictScreen:
    assert isinstance(app.screen, VerdictScreen)
    return app.screen


def judges(source: object) -> list[Judge]:
    """The requests, without the one that each setting begins with: what an earlier sitting scored of it."""
    known, found = Judge(only_known=True), [one for one in source.asked if isinstance(one, Judge)]  # type: ignore[attr-defined]
    return [one for one in found if one != known]


async def prune(app: ExplorerApp, pilot: Pilot[int], setting: str) -> None:
    await press(pilot, "x")
    app.screen.query_one(Input).value = setting
    await press(pilot, "enter")


async def test_it_fills_while_items_are_scored_and_steps_go_on() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j")
        assert Judge(only_known=True) in source.asked
        assert not judges(source), "nothing is scored before it is asked for"
        assert "r scores questions, texts, documents and prompts" in screen_text(app)
        await press(pilot, "r")
        assert judges(source) == [Judge()]
        source.score(100)
        await settle(pilot)
        text = screen_text(app)
        assert "So far, with 100 of 172 items" in text
        assert "100 of 172, 29 s left" in text
        assert "0/24" in text, "a task that is not begun is listed"
        await press(pilot, "escape", "n", "j")
        assert app.view.newest == 6, "stepping goes on"
        source.score(ALL)
        await settle(pilot)
        text = screen_text(app)
        assert "✗ broken" in text
        assert "Scoring items" not in text
        assert not verdict(app).judging.scoring
        judged = verdict(app).judging.results.verdict
        assert judged is not None
        for kept_in, said in ((str(Path.home() / "a.jsonl"), "Kept in ~/a.jsonl"), ("", "are in memory only.")):
            source.emit(Judged(judged, kept_in, request=judges(source)[-1].id))
            await settle(pilot)
            assert said in screen_text(app)
        long = str(Path.home() / "a-folder-with-a-long-name" / "of-results" / f"{'wanda-' * 16}0.5.jsonl")
        source.emit(Judged(judged, long, request=judges(source)[-1].id))
        await settle(pilot)
        shown = "".join(line.strip() for line in screen_text(app).splitlines())
        assert "Kept in ~/a-folder-with-a-long-name/of-results/" in shown
        assert f"{'wanda-' * 16}0.5.jsonl" in shown, "a path is needed whole"


async def test_other_screens_say_how_far_the_verdict_is() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(100)
        await press(pilot, "escape", "d")
        assert "verdict 100/172" in screen_text(app)
        source.score(ALL)
        await settle(pilot)
        assert "verdict 1" not in screen_text(app)


async def test_generated_answers_have_no_column_of_margins() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "enter")
        assert "margin" in app.screen.query_one(ItemTable)._text_lines()[0]
        await press(pilot, "escape", "end", "enter")
        head, first, *_ = app.screen.query_one(ItemTable)._text_lines()
        assert "margin" not in head
        assert len(head) == len(first)


async def test_r_stops_and_goes_on() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(10)
        await press(pilot, "r")
        assert Cancel(judges(source)[0].id) in source.asked
        text = screen_text(app)
        assert "10 of 172 items are scored; r goes on." in text
        assert "So far, with 10 of 172 items, no task is decided." in text
        assert "· paused" in text
        assert "· scoring" not in text
        assert app.view.failure is None
        assert not app._notifications, "a person who stopped it knows"
        await press(pilot, "r")
        source.score(10)
        await press(pilot, "d", "backspace", "5", "enter")
        assert judges(source)[-1] == Judge(margin=0.05), "another margin goes on scoring"
        assert verdict(app).judging.scoring
        source.score(ALL)
        await settle(pilot)
        assert verdict(app).judging.results.verdict.final


async def test_another_margin_judges_again_without_scoring() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "y", "y")
        head, *rows = app.clipboard.splitlines()
        assert head.split("\t")[:4] == ["task", "items", "of", "dense"], "the table is copied whole"
        assert [row.split("\t")[0] for row in rows] == ["facts", "tone", "documents", "answers"]
        await press(pilot, "d", "backspace", "5", "enter")
        assert judges(source)[-1] == Judge(margin=0.05, only_known=True)
        text = screen_text(app)
        assert "margin −5 points" in text
        assert "✓ safe" in text
        assert not verdict(app).judging.scoring


def test_a_margin_that_is_none() -> None:
    for text, margin in (("2", 0.02), ("1", 0.01), ("10 points", 0.1), ("1 point", 0.01), ("10 %", 0.1), ("10%", 0.1)):
        assert margin_of(text) == margin
    for text, margin in (("0.1", 0.1), (" 0,5 ", 0.5), ("0.5 points", 0.005), ("0.5%", 0.005), ("0", 0)):
        assert margin_of(text) == margin
    for wrong in ("", "much", "-1", "100", "nan", "inf", "points", "2 dogs"):
        assert isinstance(margin_of(wrong), str)


async def test_the_margin_s_dialog_says_what_it_will_use() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "d")
        for text, said in (("0.1", "10 points, so that 70 % may become 60 %."), ("0.5 points", "0.5 points, so that")):
            app.screen.query_one(Input).value = text
            await settle(pilot)
            assert f"Margin: {said}" in str(app.screen.query_one("#fault", Static).content)
        await press(pilot, "enter", "d")
        assert app.screen.query_one(Input).value == "0.5 points", "what it says means the same again"


async def test_the_tasks_are_chosen_by_name_and_file() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "c", *"facts", "enter")
        await until(pilot, lambda: bool(judges(source)), "the tasks")
        assert judges(source)[-1] == Judge(("facts",))
        source.score(ALL)
        await settle(pilot)
        assert [row.task for row in verdict(app).judging.results.rows] == ["facts"]
    assert tasks_of("facts 'my items.csv' facts") == ("facts", "my items.csv")
    assert tasks_of("don't") == ("don't",)


async def test_a_task_that_there_is_not_is_refused_in_the_dialog_and_scoring_goes_on(tmp_path: Path) -> None:
    source = scripted(Follow.DENSE)
    (tmp_path / "bad.jsonl").write_text('{"nothing": 1}\n')
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(10)
        await press(pilot, "c")
        for name, said in (
            ("documents nope", "There is no file nope"),
            (f"{tmp_path}/bad.jsonl", "of no kind of item"),
        ):
            app.screen.query_one(Input).value = name
            await press(pilot, "enter")
            await until(pilot, lambda said=said: said in str(app.screen.query_one("#fault", Static).content), said)
            await press(pilot, "x")
            assert isinstance(app.screen, AskTasks), "typed keys stay in the dialog"
            assert str(app.screen.query_one("#fault", Static).content).startswith("Items that are scored")
        await press(pilot, "escape")
        assert verdict(app).judging.scoring
        assert not any(isinstance(one, Cancel) for one in source.asked)


async def test_results_are_kept_by_setting() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await settle(pilot)
        before = verdict(app).judging.results
        await prune(app, pilot, "wanda:0.2")
        assert any(isinstance(one, Prune) for one in source.asked)
        assert verdict(app).judging.results is not before
        assert "r scores questions" in screen_text(app)
        await press(pilot, "v")
        assert verdict(app).judging.results is before
        assert "✗ broken" in screen_text(app)
        assert len(judges(source)) == 1, "nothing is scored again"


async def test_answers_that_arrive_late_belong_to_the_setting_they_were_asked_under() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(10)
        await settle(pilot)
        before = verdict(app).judging.results
        await prune(app, pilot, "wanda:0.2")
        assert not verdict(app).judging.scoring, "the source says that the model changed"
        assert not verdict(app).judging.results.items
        assert sum(map(len, before.items.values())) == 10


async def test_a_recording_says_why_it_can_t() -> None:
    async with on_stage(scripted(live=False), 5) as (app, pilot):
        await press(pilot, "j")
        assert "Scoring items needs the models" in screen_text(app)
        await press(pilot, "r", "c", "x")
        assert isinstance(app.screen, VerdictScreen), "these keys are struck out"


async def test_items_are_filtered_and_sorted() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, ItemsScreen)
        table = app.screen.query_one(ItemTable)
        assert table.count == 32
        await press(pilot, "2")
        changed = [one.result for one in table._listed]
        assert changed
        assert not any(one.same for one in changed)
        await press(pilot, "3")
        assert all(one.result.dense.right and not one.result.pruned.right for one in table._listed)
        await press(pilot, "4")
        assert "No item is right in the pruned model alone." in screen_text(app)
        await press(pilot, "1", "s")
        kl = [one.result.spaces.p.kl for one in table._listed]
        assert kl == sorted(kl, reverse=True)


async def test_the_cursor_stays_at_its_item_while_others_arrive() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(4)
        await press(pilot, "enter", "s")
        table = app.screen.query_one(ItemTable)
        held = table.chosen.result.item
        source.score(ALL)
        await settle(pilot)
        assert table.row > 0, "items with a larger KL have arrived"
        assert table.chosen.result.item == held


async def test_an_item_opens_on_the_main_screen_and_j_comes_back_to_it() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        own = app.view.header.settings
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "enter", "down", "down", "enter")
        assert isinstance(app.screen, MainScreen)
        opened = app.view.header.settings
        assert opened.raw
        assert opened.prompt.endswith("Answer:")
        assert [group.label for group in opened.watch] == ["A", "B", "C", "D"]
        assert source.asked[-2:] == [Restart(opened), Run(("steps=1",))]
        source.advance(1)
        await settle(pilot)
        assert "Item facts-3. j goes back to the list." in text_of(app, "#status")
        assert app.view.split is None
        await press(pilot, "g")
        [notice] = app._notifications
        assert "decided among its options" in notice.message
        assert "W shows them" in notice.message
        await press(pilot, "j")
        assert isinstance(app.screen, ItemsScreen)
        assert app.screen.query_one(ItemTable).chosen.result.item == "facts-3"
        await press(pilot, "down", "enter", "j", "escape")
        assert isinstance(app.screen, VerdictScreen)
        await press(pilot, "h")
        assert isinstance(app.screen, MainScreen)
        assert app.view.header.settings == own, "also after a second item"
        assert not app.view.opened
        await press(pilot, "j")
        assert isinstance(app.screen, VerdictScreen), "the list was left"


async def test_another_prompt_than_that_of_an_opened_item_is_run_with_ones_own_settings() -> None:
    source = scripted(Follow.PRUNED)
    async with on_stage(source, 5) as (app, pilot):
        own = app.view.header.settings
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "enter", "enter")
        item = app.view.header.settings
        assert (item.follow, item.raw) == (Follow.DENSE, True)
        assert item.watch
        await press(pilot, "p", "f2")
        assert app.view.header.settings == item, "the same prompt"
        await press(pilot, "p", "h", "i", "f2")
        assert app.view.header.settings == replace(own, prompt="hi", turns=(), begun="", raw=True, template_args=())


async def test_a_generated_answer_opens_as_both_models_wrote_it_at_the_first_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await press(pilot, "down", "down", "down", "enter")
        made = app.screen.query_one(ItemTable).chosen.result
        assert answer_steps(made) == max(made.generation.steps, made.generation.steps_pruned)
        monkeypatch.setattr(list_page, "answer_steps", lambda one: 60 if one is made else 0)
        await press(pilot, "enter")
        opened = app.view.header.settings
        assert (opened.follow, opened.steps) == (Follow.FREE, 60)
        assert source.asked[-2:] == [Restart(opened), Run()], "to the end of the answers"
        source.advance(ALL)
        await settle(pilot)
        assert app.view.newest == opened.steps
        assert app.view.split
        assert app.view.cursor == app.view.split
        await press(pilot, "end")
        source.ask(Run())
        source.advance(2)
        await settle(pilot)
        assert app.view.cursor == app.view.newest, "the cursor is moved once"


async def test_a_retrieval_task_shows_its_similarities() -> None:
    source = scripted(Follow.DENSE, setting="wanda:0.7")
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(140)
        await press(pilot, "down", "down", "enter", "down", "g")
        assert "The maps appear when all documents" in screen_text(app)
        source.score(ALL)
        await settle(pilot)
        assert isinstance(app.screen, SimilaritiesScreen)
        dense, pruned, change = app.screen.query(SimilarityHeat)
        assert "\n".join(dense._text_lines()).count("●") == 17, "the rows that fit"
        assert "○" in "\n".join(pruned._text_lines())
        assert "▲" in "\n".join(change._text_lines())
        await press(pilot, "g")
        text = screen_text(app)
        assert "query documents-10" in text
        assert "1   doc-16" in text
        assert "2 ✓ doc-10" in text
        assert "↑9" in text
        await press(pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        await press(pilot, "j")
        assert isinstance(app.screen, SimilaritiesScreen)


async def test_a_small_terminal_shows_every_column_that_decides() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5, SMALL) as (app, pilot):
        await press(pilot, "j", "r")
        source.score(ALL)
        await settle(pilot)
        lines = app.screen.query_one(VerdictTable)._text_lines()
        assert all(len(line) <= 80 for line in lines)
        assert any("… too few items" in line for line in lines)
