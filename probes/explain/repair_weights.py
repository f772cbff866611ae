"""Repairs by single weights: the smallest share of the pruned weights that reaches a goal, as a part of a setting."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict

from torch import Tensor

from probes.explain.held_out import HeldOut
from probes.explain.measured_sets import MeasuredSets
from probes.explain.repair_question import Question, already_met, gain
from probes.explain.search import Score, Search
from probes.explain.span_score import span_score
from probes.prune.fitted_text import FittedText
from probes.prune.single_weights import (
    RankedWeights,
    count_candidates,
    ranked_weights,
    span_logits,
    weights_restored,
)
from probes.schema.counting import noun_for
from probes.schema.errors import BadInput
from probes.schema.prune_setting import FittedShare, Method, Setting, SettingPart
from probes.schema.repair import GivenBack, Repair, RepairGoal
from probes.system.progress import Work
from probes.system.user_folders import config_folder

TASK = "Searching for the weights to give back"
MOST_SHARE = 0.1
"""The largest share that is tried for a target without a budget; it bounds the memory of the ranking."""
_HALVINGS = 6
"""How often a budget that makes things worse is halved."""


def repair_weights(question: Question, goal: RepairGoal, other: HeldOut | None, out: str, work: Work) -> Repair:
    """The smallest share that was found, and what it gains. Writes the file that its setting reads.

    Raises `BadInput` if no single weight is pruned, if the goal is met already, or if no share lowers the KL; `Failure`
    if the pruned model computes NaN or infinity; `Cancelled`.
    """
    found = _Shares(question, work)
    search = Search((), lambda _names, _near: found.before, lambda _given: {}, goal)
    if search.met(found.before) or found.before.kl == 0:
        raise already_met(goal, found.before)
    share, reached = _least(found, search, goal)
    score = found.score(share)
    if score.kl >= found.before.kl:
        message = f"No share of the pruned weights lowers the KL ({found.before.kl:.4g}) on these steps."
        raise BadInput("Nothing to give back", message, "Choose another budget, or --level matrix.")
    fitted = question.fitted
    path = out or _place(fitted)
    fitted.write(path)
    part = SettingPart(Method.RESTORE, FittedShare(share, path))
    count = found.weights(share)
    return Repair(
        level="weight",
        target_kl=goal.kl,
        budget=goal.budget,
        reached=reached,
        setting=str(Setting((*question.setting.parts, part))),
        given_back=(GivenBack(None, "", "", count, score.kl, score.agreement),),
        not_needed=0,
        parameters=count,
        of=found.candidates,
        span=gain(found.before, score),
        held_out=gain(*found.scores_on(question.on(other), share)) if other else None,
        held_out_text=other.text if other else "",
        tried=found.tried,
        target_agreement=goal.agreement,
        target_no_split=search.asks_for_no_split,
        notes=tuple(work.notes),
    )


def _least(found: _Shares, search: Search, goal: RepairGoal) -> tuple[float, bool]:
    """The smallest share in steps of two digits that meets the goal, as far as the KL falls with the share; else the
    largest that may be given."""
    count = found.candidates
    most = _share_below(min(goal.budget or math.inf, MOST_SHARE * count), count)
    if goal.only_budget:
        most = _share_below(min(goal.budget or 0, count), count)
        for _ in range(_HALVINGS):
            if found.score(most).kl < found.before.kl or most * count < 2:
                break
            most = _share_below(most * count / 2, count)
        return most, True
    if not search.met(found.score(most)):
        return most, False
    shares = [one for one in _two_digits() if one * count > 0.5 and one < most]
    low, high = 0, len(shares)  # shares[high] meets the goal; the last is `most` itself
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if search.met(found.score(shares[middle])) else (middle + 1, high)
    return (shares[low] if low < len(shares) else most), True


class _Shares:
    """Measures the KL on the span after a share of the pruned weights is given back."""

    def __init__(self, question: Question, work: Work) -> None:
        self._question, self._work = question, work
        self.candidates = count_candidates(question.twin)
        """How many weights are pruned one by one."""
        if not self.candidates:
            message = "No weight is pruned one by one: neurons, heads and dropped sublayers come back whole."
            raise BadInput("Nothing to give back", message, "Use --level sublayer.")
        self._sets = MeasuredSets.of_question(question.fitted_facts, "weight")
        self._dense: dict[FittedText, Tensor] = {}
        """The dense model's logits by text."""
        self._ranked: RankedWeights | None = None
        self._largest = 0
        self._asked: set[float] = set()
        self.before = self.score(0.0)

    @property
    def tried(self) -> int:
        return len(self._asked)

    def weights(self, share: float) -> int:
        """How many weights a share is."""
        return round(share * self.candidates)

    def score(self, share: float) -> Score:
        """The score of a share: measured now, or remembered. A share of 0 gives nothing back."""
        self._asked.add(share)
        key = frozenset([f"{share:g}"])
        score = self._sets.get(key)
        if score is None:
            self._work.report(TASK, len(self._asked), None, noun_for(len(self._asked), "share"))
            score = self._score_on(self._question.fitted, share)
            self._sets.add(key, score, self._work)
        return score

    def scores_on(self, fitted: FittedText, share: float) -> tuple[Score, Score]:
        """The scores on another text, before and after the repair."""
        return self._score_on(fitted, 0.0), self._score_on(fitted, share)

    def _score_on(self, fitted: FittedText, share: float) -> Score:
        question = self._question
        question.check_unchanged()
        dense = self._dense.get(fitted)
        if dense is None:
            dense = self._dense[fitted] = span_logits(question.twin.dense, fitted)
        if not share:
            after = span_logits(question.twin.model, fitted)
        else:
            chosen = self._ranking(self.weights(share)).first(self.weights(share))
            with weights_restored(question.twin.model, question.twin, chosen) as restored:
                after = span_logits(restored, fitted)
        question.check_unchanged()
        return span_score(dense, after, fitted)

    def _ranking(self, most: int) -> RankedWeights:
        """Made once: the first share that is tried is the largest."""
        if self._ranked is None or self._largest < most:
            self._largest = most
            self._ranked = ranked_weights(self._question.twin, self._question.fitted, most, work=self._work)
        return self._ranked


def _share_below(weights: float, count: int) -> float:
    """The largest share whose text is short and that is at most so many weights."""
    share = float(f"{weights / count:g}")
    while round(share * count) > weights:
        share = float(f"{math.nextafter(float(f'{share * (1 - 1e-6):g}'), 0):g}")
    return share


def _two_digits() -> list[float]:
    """0.000001, …, 0.099, 0.1, ascending."""
    return [float(f"{digits}e{power}") for power in range(-8, -2) for digits in range(10, 100)] + [0.1]


def _place(fitted: FittedText) -> str:
    name = hashlib.sha256(json.dumps(asdict(fitted)).encode()).hexdigest()[:12]
    return str(config_folder() / "restored" / f"{name}.json")
