"""Before and after speak of the same steps of two settings, and say which of the two is closer to the dense model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from explorer.state.outcome import stretch
from explorer.state.setting_history import Change, History, SettingHistory
from explorer.state.view import View
from explorer.ui.widgets.before_after import BeforeAfter
from probes.schema.prune_setting import Setting, parse
from probes.schema.record import Invalid, StepRecord
from probes.schema.settings import Follow
from tests.support.records import with_own
from tests.support.stage import on_stage, press, scripted


def path(setting: str, steps: int, follow: Follow = Follow.DENSE) -> list[StepRecord]:
    return scripted(follow, setting=setting).records(steps)


def kl(records: list[StepRecord], steps: set[int]) -> float:
    return sum(record.shared.p.kl for record in records if record.shared and record.step in steps)


def test_the_verdict_follows_the_kl_on_the_shared_context() -> None:
    mild, strong = path("wanda:0.3", 9), path("wanda:0.5", 9)
    assert stretch(strong, mild).verdict == "better"
    assert stretch(mild, strong).verdict == "worse"
    assert stretch(mild, mild).verdict == "no change"


def test_a_step_without_figures_on_one_side_is_left_out_on_both() -> None:
    before, after = path("wanda:0.5", 12), path("wanda:0.3", 12)
    after[6] = replace(after[6], invalid=Invalid("pruned", "layer"), own=None, shared=None)
    found = stretch(before, after)
    both = set(range(1, 13)) - {7}
    assert found.steps == 11
    assert found.before.kl_shared_sum == pytest.approx(kl(before, both), rel=1e-12)
    assert found.after.kl_shared_sum == pytest.approx(kl(after, both), rel=1e-12)


def test_the_own_sum_adds_up_steps_at_which_both_settings_have_both_texts() -> None:
    before, after = path("wanda:0.5", 30, Follow.FREE), path("wanda:0.4", 30, Follow.FREE)
    before[-5:] = [replace(one, own=None, taken_pruned=None, pruned=None) for one in before[-5:]]
    found = stretch(before, after)
    assert found.own is not None
    sums = [sum(one.own.p.kl for one in records[:25] if one.own) for records in (before, after)]
    assert found.own == pytest.approx(sums)
    assert stretch(before[:9], after[:9]).own is None, "one text so far: there is no second sum"


def test_an_undefined_sum_is_neither_better_nor_worse() -> None:
    before = path("wanda:0.5", 3)
    undefined = with_own(before[1], p=replace(before[1].own.p, kl=math.nan))
    assert stretch(before, [before[0], undefined, before[2]]).verdict == "undefined"


async def test_an_early_flip_compares_and_names_the_steps_that_both_have() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 32) as (app, pilot):
        await press(pilot, "w", "d")
        source.pace = 1e9  # from here on steps come when they are asked for
        await press(pilot, "enter")
        source.advance(5)
        await press(pilot, "?", "escape")
        panel = app.screen.query_one(BeforeAfter)
        assert "Measuring the same steps again: 5 of 32" in " ".join("\n".join(panel._text_lines()).split())
        source.pace = None
        await press(pilot, "v")
        assert "the same 5 of 32 steps of both" in str(panel._words[1])
        assert "all 5" in "\n".join(panel._text_lines())


def test_nothing_is_measured_again_before_a_change() -> None:
    assert SettingHistory().still_measured(View()) is None


HALF, THIRD, DROP = parse("wanda:0.5"), parse("wanda:0.3"), parse("drop-attn:2")


def tried(*settings: Setting | None) -> History:
    """The history of runs that began with these settings, one after another."""
    history = History()
    for setting in settings:
        history = history.began(setting)
    return history


def gone(history: History, place: int) -> History:
    """The history after going back or forth to a place."""
    there = history.at(place)
    assert there is not None
    return replace(history, asked=Change(history.present, there, place=place)).began(there)


def test_a_run_with_the_present_setting_adds_nothing() -> None:
    assert tried(HALF, HALF, parse("wanda:50%")).settings == (HALF,)


def test_undone_settings_are_there_until_another_one_is_tried() -> None:
    back = gone(tried(HALF, THIRD, DROP), 0)
    assert (back.settings, back.present) == ((HALF, THIRD, DROP), HALF)
    assert gone(back, 1).present == THIRD
    assert back.began(DROP).settings == (HALF, DROP)


def test_flipping_goes_to_what_was_shown_before_and_back() -> None:
    history = tried(HALF, THIRD, DROP)
    history = gone(history, 0)
    assert history.at(history.previous) == DROP
    history = gone(history, history.previous)
    assert (history.present, history.at(history.previous)) == (DROP, HALF)


def test_a_setting_that_was_tried_before_may_be_tried_again_as_a_new_one() -> None:
    history = tried(HALF, THIRD)
    history = replace(history, asked=Change(THIRD, HALF)).began(HALF)
    assert history.settings == (HALF, THIRD, HALF)


def test_nothing_leads_to_a_model_that_was_made_elsewhere_nor_beyond_the_ends() -> None:
    history = tried(None, HALF)
    assert history.at(0) is None
    assert history.at(-1) is None
    assert history.at(2) is None


def test_a_change_is_compared_until_another_run_begins() -> None:
    asked = Change(HALF, THIRD)
    history = replace(tried(HALF), asked=asked)
    assert history.began(HALF).asked is asked, "the change is still to come"
    assert history.began(HALF).change is None
    assert history.began(THIRD).change is asked
    assert history.began(THIRD).began(THIRD).change is None, "a run on another prompt is not what was compared"
