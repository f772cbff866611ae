"""The sentences on a recommendation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.words.recommendations import counted_sentence, recommendation_sentences
from probes.schema.sweep import Candidate, Counted, Held, Recommendation, Trial
from tests.support.sweeps import counted_row

SAFE, UNDECIDED = counted_row(1000), counted_row(60, 2)
BEST = Trial(Candidate("wanda:0.3", "wanda:{}", 0.3), Held.SAFE, (SAFE,), 0.236)
OPEN = replace(BEST, held=Held.UNDECIDED, rows=(UNDECIDED,))
FOUND = Recommendation(BEST, None, True, ("facts",), (), 0.02, 0.95, (BEST,), ())
NONE = replace(FOUND, best=None, trials=(OPEN, BEST))


def said(found: Recommendation) -> str:
    return " ".join(recommendation_sentences(found))


def test_the_answer_names_the_setting_what_it_removes_and_the_tasks() -> None:
    assert said(FOUND) == "Recommended: wanda:0.3, which removes 23.6 % of the parameters and is safe for facts."
    assert "safe for facts, tone and labels." in said(replace(FOUND, tasks=("facts", "tone", "labels")))


def test_if_nothing_is_safe_it_says_what_would_decide_and_what_is_not_broken() -> None:
    assert said(replace(NONE, not_broken=OPEN, items_needed=431)) == (
        "None of the 2 settings that were tried is safe. About 440 items a task would decide the next setting, or a "
        "larger --margin. The most that is not shown to be broken: wanda:0.3 removes 23.6 % of the parameters. "
        "It is not shown to be safe either."
    )
    assert said(NONE).endswith("Every setting that was tried is broken, or failed.")


def test_if_the_items_can_not_decide_it_says_how_many_would() -> None:
    undecidable = replace(NONE, decidable=False, not_broken=OPEN)
    assert "not even show that an exact copy of the dense model is. About 190 items" in said(
        replace(undecidable, items_needed=189)
    )
    assert "More than 20,000 items" in said(undecidable)


def test_tasks_without_a_score_to_lose_are_named() -> None:
    assert said(replace(FOUND, nothing_to_lose=("tone",))).endswith(
        "tone is left out: the dense model is not above guessing there."
    )
    assert "tone and answers are left out" in said(replace(FOUND, nothing_to_lose=("tone", "answers")))
    assert "no score to lose" in said(replace(NONE, tasks=(), nothing_to_lose=("tone",)))
    assert said(replace(NONE, tasks=())) == ("Nothing can be recommended: no setting could be carried out and scored.")


def test_a_confirmation_tells_the_tasks_that_confirm_it_from_those_that_do_not() -> None:
    other = replace(UNDECIDED, task="tone")
    assert said(replace(FOUND, confirmed=(SAFE, other))).endswith(
        "Confirmed on facts, which the search has not seen. Not confirmed on tone, which the search has not seen."
    )


@pytest.mark.parametrize(
    ("counted", "end"),
    [
        (Counted(1, 0.95, Held.SAFE), "the only setting that was judged."),
        (Counted(5, 0.99, Held.SAFE), "counting them all (intervals of 99 %), it is still safe."),
        (Counted(5, 0.99, Held.UNDECIDED), "no longer shown to be safe. Confirm it on other items with --confirm."),
        (Counted(5, 0.99, None), "favours a lucky one. Confirm it on other items with --confirm."),
    ],
)
def test_the_best_of_several_says_how_sure_it_is(counted: Counted, end: str) -> None:
    assert counted_sentence(counted).endswith(end)
