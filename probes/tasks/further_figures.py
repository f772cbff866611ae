"""The further figures of a task, beside its score: those of retrieval, of options, and of generation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from probes.schema.items import ItemSet
from probes.schema.task_results import ItemResult
from probes.schema.verdict import FurtherFigure, Interval
from probes.tasks.intervals import Paired, bootstrap_interval, difference_interval

K = 5
"""The k of recall at k."""


def further_figures(items: ItemSet, results: Sequence[ItemResult], level: float) -> tuple[FurtherFigure, ...]:
    """Those that the results have; none without results."""
    made = (*_of_groups(items, results, level), *_of_options(items, results, level))
    return (*made, *_of_rankings(results, level), *_of_generations(results))


def _of_groups(items: ItemSet, results: Sequence[ItemResult], level: float) -> list[FurtherFigure]:
    """The accuracy of each label set or subject, if there are several."""
    groups = {question.id: question.group for question in items.questions if question.group}
    names = list(dict.fromkeys(groups.values()))
    made = []
    for name in names if len(names) > 1 else ():
        inside = [one for one in results if groups.get(one.item) == name]
        if inside:
            answers = [one.dense.right for one in inside], [one.pruned.right for one in inside]
            made.append(_shares(f"accuracy: {name}", *answers, level))
    return made


def _of_options(items: ItemSet, results: Sequence[ItemResult], level: float) -> list[FurtherFigure]:
    """The accuracy by log-probability per byte, and the probability that the options hold together."""
    made = []
    answers = {question.id: question.options[question.answer] for question in items.questions}
    scored = [(one.options, answers.get(one.item)) for one in results if one.options is not None]
    per_byte = [(one, right) for one, right in scored if one.per_byte_dense and one.per_byte_pruned]
    if per_byte:
        dense = [one.per_byte_dense == right for one, right in per_byte]
        pruned = [one.per_byte_pruned == right for one, right in per_byte]
        made.append(_shares("accuracy per byte", dense, pruned, level))
    masses = [(one.mass_dense, one.mass_pruned) for one, _ in scored]
    held = [(p, q) for p, q in masses if p is not None and q is not None and math.isfinite(p) and math.isfinite(q)]
    if held:
        made.append(_means("mass on the options", [p for p, _ in held], [q for _, q in held], level))
    return made


def _of_rankings(results: Sequence[ItemResult], level: float) -> list[FurtherFigure]:
    """Recall at k, mean reciprocal rank, and the mean tau-b of both models' rankings."""
    ranked = [one.ranking for one in results if one.ranking is not None]
    if not ranked:
        return []
    dense = [_recall(one.positives_dense or (one.rank_dense,)) for one in ranked]
    pruned = [_recall(one.positives_pruned or (one.rank_pruned,)) for one in ranked]
    made = [
        _means(f"recall@{K}", dense, pruned, level),
        _means("MRR", [1 / one.rank_dense for one in ranked], [1 / one.rank_pruned for one in ranked], level),
    ]
    taus = [one.tau for one in ranked if one.tau is not None and math.isfinite(one.tau)]
    if taus:
        made.append(FurtherFigure("tau-b", "number", math.fsum(taus) / len(taus), items=len(taus)))
    return made


def _recall(ranks: Sequence[int]) -> float:
    return sum(rank <= K for rank in ranks) / len(ranks)


def _of_generations(results: Sequence[ItemResult]) -> list[FurtherFigure]:
    """Both models on the dense model's text: KL a token and same top token over all steps, first split, half-life."""
    found = [one.generation for one in results if one.generation is not None and one.generation.steps]
    finite = [one for one in found if math.isfinite(one.kl)]
    if not finite:
        return []
    steps = sum(one.steps for one in finite)
    kl, same = sum(one.kl for one in finite) / steps, sum(one.steps * one.agree_rate for one in finite) / steps
    count = len(finite)
    return [
        FurtherFigure("KL a token", "nat", kl, items=count),
        FurtherFigure("same top token", "share", same, items=count),
        FurtherFigure("without a split", "share", sum(one.first_split is None for one in finite) / count, items=count),
        FurtherFigure("first split (median)", "tokens", _median([one.first_split for one in finite]), items=count),
        FurtherFigure("half-life (median)", "tokens", _median([one.half_life for one in finite]), items=count),
    ]


def _median(values: Sequence[float | None]) -> float | None:
    """The median, with None as larger than all: not reached within the answer."""
    found = median([math.inf if one is None else float(one) for one in values])
    return found if math.isfinite(found) else None


def _shares(name: str, dense: Sequence[bool], pruned: Sequence[bool], level: float) -> FurtherFigure:
    return _paired(name, dense, pruned, difference_interval(Paired.of(dense, pruned), level))


def _means(name: str, dense: Sequence[float], pruned: Sequence[float], level: float) -> FurtherFigure:
    return _paired(name, dense, pruned, bootstrap_interval(dense, pruned, level))


def _paired(name: str, dense: Sequence[float], pruned: Sequence[float], difference: Interval) -> FurtherFigure:
    count = len(dense)
    return FurtherFigure(name, "share", math.fsum(dense) / count, math.fsum(pruned) / count, difference, count)
