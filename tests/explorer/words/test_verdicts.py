"""Sentences on verdicts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from explorer.words.verdicts import (
    claim_sentence,
    further_value,
    needed_items,
    points,
    row_sentence,
    score,
    signed_points,
)
from probes.schema.items import TaskKind
from probes.schema.verdict import FurtherFigure, Outcome
from probes.tasks.judge import judge
from tests.support.task_results import collection, counted, found, prompts, questions


def sentence(items, *counts, margin=0.02):
    made = judge(found(counted(items, *counts)), [items], margin)
    return row_sentence(made.rows[0], margin, 0.95)


class TestRow:
    def test_safe(self):
        assert sentence(questions(400), 390, 0, 0, 10) == (
            "Safe: it loses at most 1 point (with 95 % confidence), within the margin of 2."
        )
        assert sentence(questions(60), 40, 0, 20, 0) == "Safe: the pruned model is no worse (with 95 % confidence)."

    def test_broken(self):
        assert sentence(questions(60), 20, 35, 1, 4) == (
            "Broken: it loses 57 points, at least 41 (with 95 % confidence); 35 items are right only in the dense "
            "model, 1 only in the pruned one."
        )

    def test_too_few(self):
        assert sentence(questions(80), 80) == (
            "Too few items: no item differs, but a loss of up to 4.6 points is possible (with 95 % confidence); about "
            "190 would decide it, and the set has 80: a larger one would, or a margin of 5 points."
        )
        assert sentence(questions(80), 60, 5, 3, 12).startswith("Too few items: it loses 2.5 points, but a loss of up")

    def test_the_margin_that_it_names_makes_it_safe(self):
        for counts in ((60, 5, 3, 12), (80, 0, 0, 0), (40, 10, 9, 21)):
            said = sentence(questions(80), *counts)
            margin = int(re.search(r"a margin of (\d+) points", said)[1]) / 100
            assert sentence(questions(80), *counts, margin=margin).startswith("Safe")
            assert not sentence(questions(80), *counts, margin=margin - 0.01).startswith("Safe")

    def test_too_few_to_tell_from_guessing(self):
        assert sentence(questions(5), 2, 0, 0, 3).startswith(
            "Too few items: the dense model's score can't be told from guessing yet; about "
        )

    def test_borderline(self):
        assert sentence(questions(100), 80, 5, 3, 12) == (
            "Borderline: the estimate, −2, is so near the margin of −2 that more than 20,000 items would be needed."
        )

    def test_nothing_to_lose(self):
        assert sentence(questions(60), 5, 14, 1, 40) == (
            "Nothing to lose: the dense model's 32 % are not above the 25 % of guessing."
        )
        assert sentence(prompts(30), 0, 0, 0, 30) == "Nothing to lose: the dense model's 0 % are not above zero."

    def test_unfinished(self):
        items = questions(80)
        assert sentence(items, 40).startswith("So far, with 40 of 80 items: too few items: ")
        assert sentence(items, 0) == "Not scored yet."


SAFE, BROKEN, FEW, NOTHING = (390, 0, 0, 10), (100, 250, 10, 40), (380, 8, 8, 4), (40, 60, 60, 240)


class TestClaim:
    def claim(self, facts, passages, answers):
        sets = [questions(400), collection(400, 400), prompts(400)]
        counts = zip(sets, (facts, passages, answers), strict=True)
        made = judge(found(*(counted(items, *count) for items, count in counts)), sets)
        return claim_sentence(made)

    def test_confirmed(self):
        assert self.claim(SAFE, SAFE, BROKEN) == (
            "Confirmed for this setting: facts and passages survive, answers breaks."
        )

    def test_not_proved(self):
        assert self.claim(FEW, SAFE, BROKEN).endswith(
            "is not proved: answers breaks; passages survives; the items are too few for facts."
        )

    def test_one_of_two_generations_breaks(self):
        sets = [questions(400), prompts(400, name="sums"), prompts(400, name="words")]
        results = (counted(items, *count) for items, count in zip(sets, (SAFE, BROKEN, SAFE), strict=True))
        made = judge(found(*results), sets)
        assert claim_sentence(made).endswith("is not proved: sums breaks; facts survives; words is not shown to break.")

    def test_everything_breaks(self):
        assert self.claim(BROKEN, SAFE, BROKEN).endswith(
            "fails for this setting: facts breaks too (facts loses 60 points, answers 60 points); passages survives."
        )

    def test_only_answers_of_one_representation_break(self):
        assert self.claim(BROKEN, FEW, SAFE).endswith(
            "fails for this setting: facts breaks, and generation is safe; the items are too few for passages."
        )
        assert "generation is not shown to break" in self.claim(BROKEN, SAFE, FEW)

    def test_too_mild(self):
        assert self.claim(SAFE, SAFE, SAFE).startswith("This setting is safe for all tasks, so it is too mild")

    def test_undecided(self):
        assert self.claim(SAFE, FEW, SAFE) == (
            "Undecided: no task is shown to break, and the items are too few for passages."
        )

    def test_nothing_to_lose(self):
        no_text = (0, 0, 0, 400)
        assert self.claim(SAFE, SAFE, no_text).endswith(
            "can't be tested: the dense model has no score to lose in answers."
        )
        assert self.claim(NOTHING, no_text, SAFE).endswith("no score to lose in facts and passages.")
        assert self.claim(NOTHING, no_text, no_text).endswith("no score to lose in facts, passages and answers.")

    def test_one_side_alone_names_a_task_to_add(self):
        for items, more in ((questions(400), "of generation, too, such as answers."), (prompts(400), "such as facts.")):
            made = claim_sentence(judge(found(counted(items, *SAFE)), [items]))
            assert made.startswith("To test the claim that options, classification and retrieval survive")
            assert made.endswith(more)

    def test_silent_until_all_is_scored(self):
        assert self.claim(SAFE, SAFE, (0,)) == ""


class TestNumbers:
    def test_points(self):
        assert [points(one) for one in (0.01, -0.013, 0.314, 0.0)] == ["1 point", "1.3 points", "31 points", "0 points"]
        assert [signed_points(one) for one in (0.013, -0.31, -0.0001)] == ["+1.3", "−31", "0"]
        assert [score(one) for one in (0.873, 0.025, 1.0)] == ["87 %", "2.5 %", "100 %"]

    def test_needed_items(self):
        assert [needed_items(one) for one in (7, 81, 189, 1234, 19_999)] == ["7", "81", "190", "1,300", "20,000"]

    @pytest.mark.parametrize(
        ("unit", "value", "text"),
        [
            ("share", 0.5, "50 %"),
            ("nat", 0.1234, "0.123 nat"),
            ("tokens", 1.0, "1 token"),
            ("tokens", 7.5, "7.5 tokens"),
            ("tokens", None, "not reached"),
            ("number", 0.81, "0.810"),
        ],
    )
    def test_further_figures(self, unit, value, text):
        assert further_value(FurtherFigure("any", unit, value), value) == text

    def test_every_outcome_has_a_sentence(self):
        items = questions(80, kind=TaskKind.CLASSIFICATION)
        made = judge(found(counted(items, 60, 10, 5, 5)), [items]).rows[0]
        said = {row_sentence(replace(made, outcome=one, items_needed=None), 0.02, 0.95) for one in Outcome}
        assert len(said) == len(Outcome)
