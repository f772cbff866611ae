"""The screen that explains a token, by keys alone: what it asks for, shows, cancels, and how it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from rich.text import Text

from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
from explorer.sources.replay import ReplaySource
from explorer.sources.source import Source
from explorer.ui import theme
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.model_names import model_names
from explorer.ui.screens.prunegrid import PruneGrid
from explorer.ui.screens.repair import RETURNED, proposed_target, repair_request
from explorer.ui.screens.steps import StepsScreen
from explorer.ui.screens.why import WhyScreen
from explorer.ui.theme import palette
from explorer.ui.widgets.chart import FLOOR
from explorer.ui.widgets.heat_strips import HeatStrips
from explorer.ui.widgets.layer_grid import LayerGrid
from explorer.ui.widgets.why_heals import heal_note
from explorer.ui.widgets.why_pages import repair_page
from explorer.ui.widgets.why_sheet import WhySheet
from probes.schema.errors import FailureKind
from probes.schema.events import Explained, Failed
from probes.schema.explanation import Layers
from probes.schema.fork_verdict import Recovery
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Cancel, Explain, FindRepair, Prune
from probes.schema.split_anatomy import SplitVerdict
from tests.support import explained_source
from tests.support.explained_source import FORK, REPAIR, SPLIT, ExplainedSource, layers, swaps
from tests.support.launcher import FakeLauncher
from tests.support.snapshots import SIZES, Compare, before, seen
from tests.support.stage import MIDDLE, SMALL, Clock, at_rest, explorer, on_stage, press, screen_text, settle, text_of


def why(app: ExplorerApp) -> WhyScreen:
    assert isinstance(app.screen, WhyScreen)
    return app.screen


def sheet(app: ExplorerApp) -> str:
    """The page, as one line."""
    return " ".join(" ".join(app.screen.query_one(WhySheet)._text_lines()).split())


def explains(source: ExplainedSource) -> list[tuple[tuple[str, ...], int, int | None]]:
    return [(one.kinds, one.step, one.through) for one in source.asked if isinstance(one, Explain)]


async def test_opening_it_asks_for_the_step_and_then_for_the_steps_around_it() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        assert not source.asked, "nothing is computed while it is closed"
        await press(pilot, "left", "d")
        assert explains(source) == [
            (("layers",), 5, None),
            (("split",), 5, None),
            (("swaps",), 5, None),
            (("quadrants",), 5, None),
            (("layers",), 1, 6),
            (("noise_floor",), 0, None),
        ]
        text = screen_text(app)
        assert "Layer 7's MLP did most of it: with it dense, KL falls from 1.63 to 0.220 nat." in text
        assert "heals sum ×1.12 KL · ≈ order +0.87 · control 0" in text


async def test_what_is_known_is_not_asked_for_again() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (_, pilot):
        await press(pilot, "d", "escape")
        asked = len(source.asked)
        await press(pilot, "d")
        assert len(source.asked) == asked


async def test_moving_on_and_leaving_cancel_what_is_in_progress() -> None:
    source = ExplainedSource()
    source.held = {"swaps"}
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d")
        [first] = [one for one in source.asked if isinstance(one, Explain) and one.kinds == ("swaps",)]
        await press(pilot, "left")
        assert Cancel(first.id) in source.asked
        second = [one for one in source.asked if isinstance(one, Explain) and one.kinds == ("swaps",)][-1]
        assert second.step == 5
        await press(pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert Cancel(second.id) in source.asked
        assert app.view.failure is None, "a cancelled explanation is no failure of the run"
        assert not app._notifications


async def test_estimates_come_first_and_are_replaced() -> None:
    source = ExplainedSource()
    source.held = {"swaps"}
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d")
        text = screen_text(app)
        assert (
            "So far, with 4 of 60 heals measured, layer 7's MLP heals most: with it dense, KL falls from 1.63" in text
        )
        assert "≈ estimates, until exact" in text
        assert "Healing" in text
        source.find(6, swaps())
        await settle(pilot)
        assert "Layer 7's MLP did most of it" in screen_text(app)
        assert "≈ estimates" not in screen_text(app)


async def test_the_pages() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d", "2")
        assert "┆" in screen_text(app)
        assert '" half"' in screen_text(app)
        await press(pilot, "3")
        assert "This token breaks because of what pruned layers wrote into the cache" in sheet(app)
        assert "16 of 40 positions were restored" in sheet(app)
        await press(pilot, "4")
        assert "Confident flip" in screen_text(app)
        assert (("fork",), 6, None) in explains(source)
        assert 'With the dense token " " the pruned model recovers' in sheet(app)
        assert "0.350 at the end). 48 clips" in sheet(app), "the text begins with the forced token"
        await press(pilot, "6")
        assert "batch of 2" in screen_text(app)


async def test_no_token_returns_where_the_models_agree() -> None:
    source = ExplainedSource()
    async with on_stage(source, 17) as (app, pilot):
        assert [one.agree for one in app.view.path[-2:]] == [True, False]
        await press(pilot, "d")
        assert "and the dense token returns" in screen_text(app)
        assert "● returns" in sheet(app)
        await press(pilot, "left")
        assert "Layer 7's MLP did most of it" in screen_text(app)
        assert "returns" not in screen_text(app)


async def test_a_fork_that_ends_the_text() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        ends = replace(FORK.dense_into_pruned, steps=0, repeats=False, text="", verdict=Recovery.ENDS)
        source.held = {"fork"}
        await press(pilot, "d", "4")
        source.find(6, replace(FORK, dense_into_pruned=ends))
        await settle(pilot)
        assert 'With the dense token " " the pruned model ends the text at once' in sheet(app)


async def test_a_sublayer_is_taken_apart_and_put_together() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d", "down", "enter")
        assert "attn 0: its matrices" in screen_text(app)
        assert "q_proj" in screen_text(app)
        await press(pilot, "enter")
        assert "head 0" in screen_text(app)
        await press(pilot, "enter")
        assert "heal and damage · step 6" in screen_text(app)


async def test_escape_goes_one_level_up_at_a_time() -> None:
    async with on_stage(ExplainedSource(), 6) as (app, pilot):
        await press(pilot, "d", "down", "enter", "enter", "escape")
        assert "attn 0: its matrices" in screen_text(app)
        await press(pilot, "escape")
        assert "heal and damage · step 6" in screen_text(app)
        await press(pilot, "escape")
        assert not isinstance(app.screen, WhyScreen)


async def test_a_span_is_marked_and_explained_as_a_whole() -> None:
    source = ExplainedSource()
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "right_square_bracket", "left", "left", "left", "left_square_bracket", "d")
        assert (("swaps",), 6, 9) in explains(source)
        assert "heal and damage · steps 6–9" in screen_text(app)
        assert "why steps 6–9" in screen_text(app)
        await press(pilot, "left_square_bracket")
        assert app.view.span is None
        assert "heal and damage · step 6" in screen_text(app)


async def test_what_is_given_back_is_applied_by_one_key_and_compared() -> None:
    source = ExplainedSource()
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "left", "left", "d", "r", "enter")
        [asked] = [one for one in source.asked if isinstance(one, FindRepair)]
        assert asked == FindRepair(7, None, 0.1, None, "sublayer", "")
        text = sheet(app)
        assert "Giving back 2 sublayers (3 % of the pruned parameters), KL falls from 1.63 to 0.0800 nat" in text
        assert "A repair fitted to one span may not hold elsewhere" in text
        await press(pilot, "enter")
        assert [one for one in source.asked if isinstance(one, Prune)] == [Prune(parse(REPAIR.setting))]
        assert app.view.cursor == 7, "the same step is looked at again"
        assert app.view.run == 2
        text = sheet(app)
        assert "Before → after the change of the setting: step 7 KL" in text
        assert "over 9 steps ΣKL" in text
        assert "first split none → none" in text
        assert "The smallest set" not in text, "that was found"
        assert "r searches for more to give back" in text
        await press(pilot, "escape", "w")
        assert isinstance(app.screen, PruneGrid)
        assert "all 9" in screen_text(app)


async def test_only_what_was_changed_for_the_step_is_compared_on_the_page_of_repairs() -> None:
    async with on_stage(ExplainedSource(), 9) as (app, pilot):
        await press(pilot, "left", "left", "w", "d", "enter", "escape", "d", "5")
        assert "Before → after the change of the setting: step 7 KL" in sheet(app)
        await press(pilot, "left")
        assert "Before → after" not in sheet(app), "the layers were changed for step 7"
        await press(pilot, "escape", "v", "d", "5")
        assert "Before → after" not in sheet(app), "it was not changed from here"


async def test_at_a_split_the_search_begins_with_the_return_of_the_token() -> None:
    source = ExplainedSource()
    async with on_stage(source, 17) as (app, pilot):
        await press(pilot, "g", "d", "r", "enter")
        [asked] = [one for one in source.asked if isinstance(one, FindRepair)]
        assert asked == FindRepair(app.view.cursor, target_agreement=1.0)
        assert "75 %" in sheet(app), "of the steps, once the first one is given back"


@pytest.mark.parametrize(
    ("kl", "target", "why"),
    [(1.63, "0.1", ""), (0.1, "0.050", "below 0.1"), (0.00158, "7.9e-4", "half of it"), (0.0, "", "nothing to give")],
)
def test_where_the_models_are_alike_the_search_does_not_begin_with_a_target_that_is_met(
    kl: float, target: str, why: str
) -> None:
    proposed, said = proposed_target(kl, splits=False)
    assert proposed == target
    assert why in said
    assert bool(said) == bool(why)
    if target:
        asked = repair_request(7, None, proposed, "", "sublayers", "")
        assert isinstance(asked, FindRepair)
        assert asked.target_kl is not None
        assert asked.target_kl < kl
    assert proposed_target(kl, splits=True) == (RETURNED, "")


@pytest.mark.parametrize(("share", "word"), [(1.0, "● returns"), (0.0, "○ differs"), (None, "–")])
def test_a_repair_of_one_step_says_at_which_row_the_token_returns(share: float | None, word: str) -> None:
    span = replace(REPAIR.span, steps=1)
    found = replace(REPAIR, span=span, given_back=(replace(REPAIR.given_back[0], agree_after=share),))
    rows = repair_page(found, (), True, palette(theme.DARK), 70).rows
    [row] = [line for row in rows if (line := "".join(text for text, _ in row)).startswith(" mlp 7")]
    assert row.endswith(f" {word}")


async def test_nothing_is_explained_while_another_setting_is_awaited() -> None:
    source = ExplainedSource()
    source.held = {"prune", "noise_floor"}
    async with on_stage(source, 9) as (_app, pilot):
        await press(pilot, "d", "r", "enter", "enter", "left", "left")
        assert not any(
            isinstance(one, Explain) for one in source.asked[source.asked.index(Prune(parse(REPAIR.setting))) :]
        )
        source.emit(Failed("Pruning", "It failed."))
        await settle(pilot)
        await press(pilot, "escape", "left")
        assert isinstance(source.asked[-1], Explain), "after a failure it goes on"


def test_heals_that_sum_below_0_are_warned_of() -> None:
    found = replace(swaps(), additivity=-0.348)
    assert heal_note(found, final=True) == "heals sum ×−0.348 KL ! harm alone · control 0"


@pytest.mark.parametrize("count", [30, 48, 126])
@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_the_strips_show_every_layer_and_say_which_step_is_the_cursors(count: int, size: tuple[int, int]) -> None:
    async with on_stage(ExplainedSource(count=count), 6, size) as (app, pilot):
        await press(pilot, "left", "d")
        assert "layers, largest in row" in screen_text(app)
        assert "▼5" in screen_text(app)
        strips = app.screen.query_one(HeatStrips)
        labels = [line.split()[0] for line in strips._text_lines()[1:]]
        assert len(labels) == strips.size.height - 1
        bounds = [[int(one) for one in label.split("–")] for label in labels]
        assert [bounds[0][0], bounds[-1][-1]] == [0, count - 1]
        assert all(one[-1] + 1 == other[0] for one, other in pairwise(bounds))


async def test_a_click_on_a_row_of_several_layers_chooses_the_largest() -> None:
    async with on_stage(ExplainedSource(count=48), 6, SMALL) as (app, pilot):
        await press(pilot, "left", "d")
        strips = app.screen.query_one(HeatStrips)
        layers, rows = strips._layers[1], strips._rows
        assert rows is not None
        assert len(layers) > 1
        await pilot.click(strips, offset=(strips._label + 3, (strips.styles.border_top[0] != "" and 3) or 2))
        value, part = rows.largest("attn", layers, strips._heat)[2]
        assert value is not None
        assert why(app)._chosen == part
        assert app.view.cursor == 3


async def test_a_search_is_cancelled_by_escape_before_the_screen_is_left() -> None:
    source = ExplainedSource()
    source.held = {"repair"}
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "d", "r", "enter")
        assert "12 of 60 sets" in screen_text(app)
        assert "12 sets measured so far. None of them lowers the KL yet." in sheet(app)
        assert "Esc cancel search" in screen_text(app)
        [asked] = [one for one in source.asked if isinstance(one, FindRepair)]
        best = replace(REPAIR, held_out=None, reached=False)
        source.emit(Explained(app.view.run, 0, asked.step, best, final=False, request=asked.id))
        await settle(pilot)
        assert "The best set so far: giving back" in sheet(app)
        await press(pilot, "escape")
        assert Cancel(asked.id) in source.asked
        source.emit(Failed("Cancelled", "It was.", kind=FailureKind.CANCELLED, request=asked.id))
        await settle(pilot)
        assert "The search was cancelled." in sheet(app)
        assert "The best set so far: giving back" in sheet(app)
        assert "⏎ applies it" in screen_text(app)
        assert why(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, MainScreen)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        (("0.2", "", "s", ""), FindRepair(3, 6, 0.2)),
        (("split", "", "mat", ""), FindRepair(3, 6, level="matrix", no_split=True)),
        (("95 %", "2M", "weights", "Why?"), FindRepair(3, 6, None, 2_000_000, "weight", "Why?", 0.95)),
        (("", "500k", "sublayers", ""), FindRepair(3, 6, budget=500_000)),
        (("the token returns", "", "s", ""), FindRepair(3, 6, target_agreement=1.0)),
        (("Token", "", "s", ""), FindRepair(3, 6, target_agreement=1.0)),
        (("-1", "", "s", ""), "-1 is not a KL."),
        (("0", "", "x", ""), "Choose among"),
        (("", "", "s", ""), "Give a target"),
        (("nan", "", "s", ""), "The target is “the token returns”, a KL"),
        (("0.1", "lots", "s", ""), "The budget must be"),
        (("0.1", "0", "s", ""), "A budget of 0"),
        (("120 %", "", "s", ""), "1.2 is not a share"),
    ],
)
def test_the_fields_of_a_search(fields: tuple[str, str, str, str], asked: FindRepair | str) -> None:
    found = repair_request(3, 6, *fields)
    if isinstance(asked, str):
        assert isinstance(found, str)
        assert found.startswith(asked)
    else:
        assert found == asked


def test_a_share_of_a_single_step_is_refused_with_what_to_do() -> None:
    said = repair_request(3, None, "95 %", "", "sublayers", "")
    assert (
        said
        == "A share is one of steps, and this is a single step: use “the token returns” or a KL, or mark a span first."
    )


async def test_a_fault_in_a_field_is_said_and_nothing_is_asked() -> None:
    source = ExplainedSource()
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "d", "r", "x")
        assert "The target is “the token returns”, a KL in nat such as 0.1" in screen_text(app)
        await press(pilot, "enter")
        assert not any(isinstance(one, FindRepair) for one in source.asked)


async def test_what_can_not_be_computed_says_why_and_the_rest_is_shown() -> None:
    source = ExplainedSource()
    source.broken["swaps"] = "Layer 3 of the two models can't be aligned."
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d")
        assert "Layer 3 of the two models can't be aligned." in sheet(app)
        await press(pilot, "2")
        assert "mlp 7" in screen_text(app)
        before = len(source.asked)
        await press(pilot, "e")
        assert len(source.asked) > before, "e tries again"


async def test_steps_that_are_explained_are_seen_and_listed() -> None:
    source = ExplainedSource(live=False)
    async with on_stage(source, 6) as (app, pilot):
        assert "explained" not in text_of(app, "#strip")
        source.find(2, layers(2))
        source.find(4, swaps())
        await settle(pilot)
        assert text_of(app, "#strip").count("◇") == 2, "the sign, and what it means"
        assert "◇ explained" in text_of(app, "#strip")
        await press(pilot, "L", "4")
        assert isinstance(app.screen, StepsScreen)
        assert list(app.screen.table.rows) == [4]
        await press(pilot, "enter")
        assert app.view.cursor == 4


async def test_a_recording_shows_what_was_recorded_and_asks_for_nothing() -> None:
    source = ExplainedSource(live=False)
    async with on_stage(source, 6) as (app, pilot):
        source.find(6, swaps())
        await press(pilot, "d")
        assert "Layer 7's MLP did most of it" in screen_text(app)
        strips = app.screen.query_one(HeatStrips)
        assert strips._text_lines()
        assert all(len(line) <= strips.size.width for line in strips._text_lines()), "the sentence is shown whole"
        await press(pilot, "3")
        assert "Compute or memory was not recorded." in sheet(app)
        assert not source.asked


async def test_a_recording_offers_no_key_that_needs_the_models() -> None:
    source = ExplainedSource(live=False)
    async with on_stage(source, 6) as (app, pilot):
        source.find(6, swaps())
        source.find(6, REPAIR)
        for page in ("1", "5"):
            await press(pilot, "d", page)
            offered = {hint.key for hint in why(app).key_hints()}
            assert not offered & {"⏎", "r"}
            await press(pilot, "escape")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (("d", "5", "enter"), "There is nothing to apply yet. r searches for what to give back."),
        (("d", "3", "enter"), "⏎ has no effect on the page “memory”."),
        (("d", "e"), "Nothing has failed here."),
    ],
)
async def test_a_key_that_is_struck_out_says_why_and_does_nothing(keys: tuple[str, ...], sentence: str) -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, *keys[:-1])
        before, asked = app.screen, len(source.asked)
        await press(pilot, keys[-1])
        assert [one.message for one in app._notifications] == [sentence]
        assert (app.screen, len(source.asked)) == (before, asked)


async def test_the_title_of_a_small_terminal_keeps_the_pruned_model() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6, SMALL) as (app, pilot):
        header = app.view.header
        assert header is not None
        await press(pilot, "d")
        assert f"{header.dense.name} ⇄ {header.title}" in screen_text(app)
        app.view.header = replace(header, dense=replace(header.dense, name="M" * 40))
        await press(pilot, "left")
        assert header.title in screen_text(app).splitlines()[0]
        assert "M" * 40 not in screen_text(app)
        assert "MM…MM" in screen_text(app).splitlines()[0]


async def test_rows_keep_their_order_under_a_cursor_that_was_moved_while_heals_arrive() -> None:
    source = ExplainedSource()
    source.held = {"swaps"}
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d", "down")
        table = app.screen.query_one(WhySheet)
        before, chosen = table.parts, why(app)._chosen
        first, *rest = swaps().heal
        again = replace(swaps(), heal=(*rest, first), damage=())
        source.emit(Explained(app.view.run, 0, 6, again, final=False))
        await settle(pilot)
        assert [one for one in table.parts if one in before] == before
        assert why(app)._chosen == chosen
        source.emit(Explained(app.view.run, 0, 6, again))
        await settle(pilot)
        assert table.parts == [Part(one.sublayer, one.layer) for one in again.heal], "the whole table is in order"


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_the_models_in_a_title_are_shortened_and_the_setting_stays(width: int) -> None:
    setting = "wanda:0.5+drop-attn@layers=18,20,22"
    title = model_names(Text(" steps  "), "SmolLM2-135M-Instruct", setting, width, palette(theme.DARK))
    assert title.cell_len < width
    assert title.plain.endswith("20,22")
    assert ("SmolLM2-135M-Instruct ⇄ wanda:0.5" in title.plain) == (width >= 80)


async def test_nothing_can_be_given_back_to_a_model_that_was_pruned_elsewhere() -> None:
    source = ExplainedSource()
    async with on_stage(source, 6) as (app, pilot):
        assert app.view.header is not None
        app.view.header = replace(app.view.header, prune=None)
        await press(pilot, "d", "5", "r")
        sentence = f"{app.view.header.pruned.name} was not pruned here, so no setting can give anything back to it."
        assert sentence in sheet(app)
        assert [one.message.startswith(sentence) for one in app._notifications] == [True]
        assert not any(isinstance(one, FindRepair) for one in source.asked)


@pytest.mark.parametrize("key", ["r", "e", "space", "n", "enter"])
async def test_a_key_that_needs_the_models_of_a_recording_says_so(key: str) -> None:
    source = ExplainedSource(live=False)
    async with on_stage(source, 6) as (app, pilot):
        source.find(6, REPAIR)
        await press(pilot, "d", "5")
        before = app.screen
        await press(pilot, key)
        assert [one.message for one in app._notifications] == ["This key needs the models."]
        assert app.screen is before
        assert not source.asked


async def test_m_loads_the_models_of_a_recording_from_there() -> None:
    asked: list[int] = []

    def go_on(_header: object, path: Sequence[StepRecord], _found: object) -> Source:
        asked.append(len(path))
        return ExplainedSource()

    recording = ReplaySource(shipped_folder() / DEMO_RECORDING)
    app = ExplorerApp(recording, launcher=FakeLauncher(go_on=go_on), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await at_rest(app, pilot)
        await press(pilot, "g", "d")
        assert "not recorded; m loads the models, which compute them." in sheet(app)
        await press(pilot, "m", "c")
        assert asked == [5]
        assert isinstance(app.screen, MainScreen)


async def test_values_that_are_not_finite_are_marked() -> None:
    source = ExplainedSource()
    source.nan = True
    async with on_stage(source, 6) as (app, pilot):
        await press(pilot, "d", "2")
        text = screen_text(app)
        assert "   0  ??????" in text
        assert "∞∞∞∞∞∞" in text
        assert "undef." in text


async def test_models_that_share_no_input_have_dashes_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(step: int, count: int = 30) -> Layers:
        return Layers(tuple(replace(row, same_input=None) for row in layers(step, count).rows))

    monkeypatch.setattr(explained_source, "layers", apart)
    async with on_stage(ExplainedSource(), 6) as (app, pilot):
        await press(pilot, "d", "2")
        assert "accum" in sheet(app)
        assert "same in" not in sheet(app)
        assert "   0  ––––––" not in screen_text(app)
        await press(pilot, "a")
        assert "   0  ––––––" in screen_text(app)


@pytest.mark.parametrize("count", [1, 200])
async def test_one_layer_and_very_many(count: int) -> None:
    source = ExplainedSource(count=count)
    async with on_stage(source, 3, SMALL) as (app, pilot):
        await press(pilot, "d", "2")
        assert "mlp 0" in screen_text(app) or count > 1
        await press(pilot, *["down"] * 12)
        last = min(count - 1, 7 + 6)
        assert f"{last}" in screen_text(app)


async def test_while_following_a_run_nothing_is_computed_beside_it() -> None:
    source = ExplainedSource()
    async with on_stage(source, 3) as (_, pilot):
        await press(pilot, "space", "d")
        source.advance(1)
        await settle(pilot)
        assert not explains(source)
        await press(pilot, "space")
        assert ("swaps",) in {kinds for kinds, _, _ in explains(source)}


async def test_nothing_generated_yet() -> None:
    async with on_stage(ExplainedSource()) as (app, pilot):
        for key in ("d", "g", "left", "enter"):
            app._notifications.clear()
            await press(pilot, key)
            assert ["Nothing is generated yet." in one.message for one in app._notifications] == [True], key
        assert isinstance(app.screen, MainScreen), "there is no token to explain"


@SIZES
@pytest.mark.parametrize("page", ["1", "4"])
def test_how_it_looks(snap_compare: Compare, size: tuple[int, int], page: str) -> None:

    source = ExplainedSource()
    assert seen(explorer(source), snap_compare, size, before(source, 12, "left", "left", "d", page))


@pytest.mark.parametrize("keys", ["2", "3", "6", "r"])
def test_how_the_other_pages_look(snap_compare: Compare, keys: str) -> None:

    source = ExplainedSource()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 12, "left", "left", "d", keys))


async def test_the_reading_panel_names_the_culprit_and_the_charts_draw_the_floor() -> None:
    source = ExplainedSource()
    async with on_stage(source, 12) as (app, pilot):
        assert "noise" not in screen_text(app)
        await press(pilot, "d", "escape")
        assert "Layer 7's MLP did most of it" in " ".join(text_of(app, "#reading").split())
        assert "noise 0.0040" in screen_text(app)
        assert FLOOR * 3 in screen_text(app)
        await press(pilot, "left")
        assert "Layer 7" not in text_of(app, "#reading")


async def test_a_numerical_split_is_called_so() -> None:
    source = ExplainedSource(live=False)
    async with on_stage(source, 6) as (app, pilot):
        source.find(6, replace(SPLIT, verdict=SplitVerdict.NUMERICAL))
        source.find(6, swaps())
        await settle(pilot)
        assert "Numerical, not damage" in " ".join(text_of(app, "#reading").split())


async def test_marks_are_drawn_on_the_strip_and_taken_away() -> None:
    async with on_stage(ExplainedSource(), 9) as (app, pilot):
        await press(pilot, "right_square_bracket", "left", "left", "left_square_bracket", "left")
        strip = text_of(app, "#strip").splitlines()[1]
        assert strip.index("[") < strip.index("]")
        await press(pilot, "right", "left_square_bracket")
        assert "[" not in text_of(app, "#strip")


async def test_the_grid_is_coloured_by_heal() -> None:
    source = ExplainedSource()
    async with on_stage(source, 9) as (app, pilot):
        await press(pilot, "w", "h")
        assert "heal at step 9" in screen_text(app)
        assert "1.4" in "\n".join(app.screen.query_one(LayerGrid)._text_lines())
        assert {one.level for one in source.asked if isinstance(one, Explain)} == {"sublayer", "matrix"}
        await press(pilot, "h")
        assert "heal at" not in screen_text(app)
        assert "50 %" in screen_text(app)


@pytest.mark.parametrize("name", [theme.LIGHT, theme.TERMINAL])
def test_it_in_the_other_themes(snap_compare: Compare, name: str) -> None:
    source = ExplainedSource()
    assert seen(explorer(source, name), snap_compare, MIDDLE, before(source, 12, "left", "left", "d"))


def test_it_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    source = ExplainedSource()
    assert seen(explorer(source), snap_compare, MIDDLE, before(source, 12, "left", "left", "d"))
