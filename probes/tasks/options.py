"""Scores questions with options in both models: by the option's letter or label at one position, or by its whole text.

The formulas are in docs/figures.md. All of them are taken from logarithms in float64, and none has an epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from probes.schema.items import ItemSet, Question, Way
from probes.schema.record import Comparison, Side
from probes.schema.task_results import Answered, ItemResult, OptionFigures
from probes.stepping.distribution import Distribution
from probes.tasks.item_plan import TaskPlan
from probes.tasks.item_spaces import comparisons, mean_spaces
from probes.tasks.prompts import ContinuationPrompt, LetterPrompt, by_continuation, by_letter
from probes.tasks.readers import AT_ONCE, SCORING, Outputs, Readers, item_name

SIDES: tuple[Side, Side] = ("dense", "pruned")

Logs = list[float]
"""ln p of each option, not normalised."""


def score_letters(readers: Readers, items: ItemSet, question: Question, prompt: LetterPrompt) -> ItemResult:
    """One question by the tokens of its options at the position after the prompt: p_i = Σ p(surface form).

    Each model reads the prompt once. Raises `Cancelled`, and `Failure` if memory runs out.
    """
    readers.forget()
    scores = _Scores(readers, question)
    outputs = readers.read_last(prompt.ids)
    scores.add(
        outputs,
        prompt.ids,
        lambda p: {place: log_sum([p.log_at(form) for form in forms]) for place, forms in enumerate(prompt.tokens)},
    )
    found = [] if scores.notes else comparisons(*outputs)
    return _result(items, question, scores, found, tokens=prompt.tokens)


def score_continuations(readers: Readers, items: ItemSet, question: Question, prompt: ContinuationPrompt) -> ItemResult:
    """One question by Σ log p(o_t | x, o_<t) over the tokens of each option o after the prompt x.

    The prompt is read once, unless a model is recurrent, and only options of several tokens are read after it. The
    spaces are the means over the positions that predict the option that the dense model chooses. Raises `Cancelled`,
    and `Failure` if memory runs out.
    """
    readers.forget()
    scores = _Scores(readers, question)
    first = readers.read_last(prompt.ids)
    scores.add(first, prompt.ids, lambda p: {place: p.log_at(one[0]) for place, one in enumerate(prompt.continuations)})
    options = dict(enumerate(prompt.continuations))
    few = sum(len(option) - 1 for option in prompt.continuations) <= AT_ONCE
    kept: dict[int, list[Outputs]] = {}
    for place, tokens, outputs in readers.read_options(prompt.ids, options):
        context = [*prompt.ids, *options[place][:-1]]
        scores.add(outputs, context, partial(_log_probability, place=place, tokens=tokens))
        if few:
            kept.setdefault(place, []).append(outputs)
    found: list[Comparison] = []
    dense = scores.logs[0]
    if dense is not None and not scores.notes:
        found += comparisons(*first)
        chosen = _ranked(dense)[0]
        again = () if few else readers.read_options(prompt.ids, {chosen: options[chosen]})
        for outputs in chain(kept.get(chosen, ()), (one for _, _, one in again)):
            found += comparisons(*outputs)
    return _result(items, question, scores, found)


class _Scores:
    """ln p of each option in both models, as far as they have been read."""

    def __init__(self, readers: Readers, question: Question) -> None:
        self._readers = readers
        self.logs: list[Logs | None] = [[0.0] * len(question.options) for _ in SIDES]
        """None for a model that has computed NaN or infinity."""
        self.notes: list[str] = []

    def add(
        self, outputs: Outputs, context: Sequence[int], logs_of: Callable[[Distribution], Mapping[int, float]]
    ) -> None:
        """Adds what a distribution gives for some of the options. `context` has been read."""
        for place, (side, output) in enumerate(zip(SIDES, outputs, strict=True)):
            logs = self.logs[place]
            if logs is None:
                continue
            if not output.finite:
                self.logs[place] = None
                self.notes.append(self._readers.broken(side, context))
                continue
            for option, log in logs_of(Distribution(output.logits)).items():
                logs[option] += log


def option_figures(logs: Logs, logs_pruned: Logs) -> OptionFigures:
    """The distributions over the options, p_i / Σ p and q_i / Σ q, compared: `logs` are ln p_i, `logs_pruned` ln q_i.

    The masses are Σ p_i and Σ q_i, which means nothing by continuation.
    """
    mass, mass_pruned = log_sum(logs), log_sum(logs_pruned)
    ln_p, ln_q = [one - mass for one in logs], [one - mass_pruned for one in logs_pruned]
    p, q = [math.exp(one) for one in ln_p], [math.exp(one) for one in ln_q]
    return OptionFigures(
        p=tuple(p),
        q=tuple(q),
        mass_dense=math.exp(mass),
        mass_pruned=math.exp(mass_pruned),
        kl=_kl(p, ln_p, ln_q),
        kl_reverse=_kl(q, ln_q, ln_p),
        cos=cosine(p, q),
    )


def continuation_figures(options: Sequence[str], logs: Logs, logs_pruned: Logs) -> OptionFigures:
    """`option_figures` by continuation: without the masses, and with the options chosen by log-probability per byte."""
    dense, pruned = (_per_byte(options, one) for one in (logs, logs_pruned))
    figures = option_figures(logs, logs_pruned)
    return replace(figures, mass_dense=None, mass_pruned=None, per_byte_dense=dense, per_byte_pruned=pruned)


def log_sum(logs: Sequence[float]) -> float:
    """ln Σ exp(x)."""
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(one - largest) for one in logs))


def cosine(u: Sequence[float], v: Sequence[float]) -> float:
    """1 - ‖u/‖u‖ - v/‖v‖‖²/2, which is exactly 1 for equal vectors. Neither is 0."""
    length, other = math.hypot(*u), math.hypot(*v)
    return 1 - math.fsum((a / length - b / other) ** 2 for a, b in zip(u, v, strict=True)) / 2


def _kl(p: Sequence[float], ln_p: Sequence[float], ln_q: Sequence[float]) -> float:
    kl = math.fsum(one * (a - b) for one, a, b in zip(p, ln_p, ln_q, strict=True))
    return kl if kl > 0 else 0.0


def _log_probability(distribution: Distribution, *, place: int, tokens: Sequence[int]) -> dict[int, float]:
    """Σ ln p of one token at each position, for the option at this place."""
    return {place: math.fsum(distribution[at : at + 1].log_at(token) for at, token in enumerate(tokens))}


def _ranked(scores: Sequence[float]) -> list[int]:
    """The options, the best first; of equal ones the first."""
    return sorted(range(len(scores)), key=lambda option: (-scores[option], option))


def _result(
    items: ItemSet,
    question: Question,
    scores: _Scores,
    found: Sequence[Comparison],
    *,
    tokens: tuple[tuple[int, ...], ...] = (),
) -> ItemResult:
    """`tokens` are given by letter."""
    dense, pruned = scores.logs
    figures = None
    if dense is not None and pruned is not None:
        if tokens:
            figures = replace(option_figures(dense, pruned), tokens=tokens)
        else:
            figures = continuation_figures(question.options, dense, pruned)
    return ItemResult(
        items.name,
        question.id,
        _answered(question, dense),
        _answered(question, pruned),
        mean_spaces(found),
        options=figures,
        notes=tuple(scores.notes),
    )


def _answered(question: Question, logs: Logs | None) -> Answered:
    if logs is None:
        return Answered("", False, 0.0)
    best, *others = _ranked(logs)
    right = best == question.answer
    return Answered(question.options[best], right, float(right), logs[best] - logs[others[0]] if others else None)


def _per_byte(options: Sequence[str], logs: Logs) -> str:
    """The option with the largest log-probability per byte of its text."""
    sizes = [len(option.encode()) for option in options]
    return options[_ranked([one / size for one, size in zip(logs, sizes, strict=True)])[0]]


def plan_questions(readers: Readers, items: ItemSet, done: Collection[tuple[str, str]]) -> TaskPlan:
    """Scores each question that is not done, as its set says. Raises `BadInput` if one can't be scored that way."""
    scorers = []
    for question in items.questions:
        if (items.name, question.id) in done:
            continue
        readers.work.check(SCORING)
        what = item_name(items, question.id)
        if items.way is Way.LETTER:
            lettered = by_letter(readers.tokenizer, items, question)
            readers.check(what, [*lettered.ids, *chain(*lettered.tokens)], len(lettered.ids))
            scorers.append(partial(score_letters, readers, items, question, lettered))
        else:
            continued = by_continuation(readers.tokenizer, items, question)
            for option in continued.continuations:
                whole = [*continued.ids, *option]
                readers.check(what, whole, len(whole) - 1)
            scorers.append(partial(score_continuations, readers, items, question, continued))
    return TaskPlan(len(scorers), ((score(),) for score in scorers))
