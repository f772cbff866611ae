"""The verdict on one prune setting: for each task, whether it is safe. Frozen data without torch.

Scores are shares from 0 to 1, differences are pruned minus dense. The formulas are in docs/figures.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from probes.schema.bounds import Bounded, Natural, NonNegative, Share
from probes.schema.items import TaskKind
from probes.schema.task_results import ItemResult, Similarities

MARGIN_OF_SAFETY = 0.02
"""The largest loss of a score that still counts as safe, unless another margin is given: 2 points."""
LEVEL = 0.95
"""The level of the intervals."""
DRAWS = 10_000
"""Draws of a paired bootstrap."""
MOST_NEEDED = 20_000
"""A task that would need more items than this is borderline: usual benchmarks have fewer (MMLU 14,042)."""
FEWEST_FOR_CHANCE = 20
"""With fewer items, an interval that holds chance says only that there are too few."""


class Outcome(StrEnum):
    """What the items say about one task."""

    SAFE = "safe"
    """Not inferior: the lower end of the interval of the difference is at least minus the margin."""
    BROKEN = "broken"
    """The upper end of the interval of the difference is below minus the margin."""
    BORDERLINE = "borderline"
    """Undecided, and the difference is so near minus the margin that more than `MOST_NEEDED` items would be needed."""
    TOO_FEW = "too few items"
    """Undecided; `items_needed` would decide it at the present estimate."""
    NOTHING_TO_LOSE = "nothing to lose"
    """The dense model is not above chance: its interval holds chance, with at least `FEWEST_FOR_CHANCE` items."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its confidence interval."""

    value: Bounded
    low: Bounded
    high: Bounded


@dataclass(frozen=True, slots=True)
class SpaceLoss:
    """How much is lost in each space: means over the items' deciding positions."""

    items: Natural
    h: Bounded
    """Mean of 1 - cosine of `h`."""
    z: Bounded
    """Mean of 1 - centred cosine of `z`."""
    p: Bounded
    """Mean of 1 - cosine of `p`."""
    kl: NonNegative
    """Mean KL(p‖q) over the whole vocabulary, in nats."""
    options_p: Bounded | None = None
    """Mean of 1 - cosine of the renormalised distributions over the options; None if the task has none."""
    options_kl: NonNegative | None = None
    nonfinite: Natural = 0
    """Items left out of these means, because a figure of theirs is not finite."""


Unit = Literal["share", "nat", "tokens", "number"]


@dataclass(frozen=True, slots=True)
class FurtherFigure:
    """One more figure of a task, beside its score."""

    name: str
    """"recall@5", "accuracy: emotion", "tau-b"."""
    unit: Unit
    dense: Bounded | None
    """None if it is not reached within the answers: the half-life or the first split of most of them."""
    pruned: Bounded | None = None
    """None for a figure of both models together, such as tau-b or the half-life; `dense` is then its value."""
    difference: Interval | None = None
    """Pruned minus dense, paired, of a mean over items; None for other figures."""
    items: Natural = 0
    """Items that it was measured on."""

    @property
    def of_both(self) -> bool:
        """Does it compare the two models, so that neither has a value of its own?"""
        return self.pruned is None


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """One row: one task in both models."""

    task: str
    kind: TaskKind
    figure: str
    """What the score is: "accuracy", "top-1", "exact match"."""
    items: Natural
    """Items that were scored; of an unfinished task, those so far."""
    of: Natural
    """Items that the task has."""
    chance: Share
    dense: Interval
    pruned: Interval
    difference: Interval
    """Pruned minus dense, paired."""
    mcnemar: Share | None
    """The exact two-sided McNemar p of right and wrong; None if no item differs or the score isn't right or wrong."""
    lost: Natural
    """Items that only the dense model has right."""
    gained: Natural
    """Items that only the pruned model has right."""
    agreement: Share
    """The share of items to which both give the same answer, right or wrong."""
    outcome: Outcome
    items_needed: Natural | None
    """About how many items would decide it, at the present estimate; None unless the outcome is `TOO_FEW`, and before
    the first item."""
    spaces: SpaceLoss | None
    more: tuple[FurtherFigure, ...] = ()
    """Recall@5, MRR and tau-b of retrieval; accuracy by bytes and of each label set; ΣKL a token, first split and
    half-life of generation; the mass on the options."""

    @property
    def final(self) -> bool:
        """Are all of its items scored?"""
        return self.items == self.of

    @property
    def survives(self) -> bool | None:
        """Does the task keep its score? None if its items don't say, or there was nothing to lose."""
        return {Outcome.SAFE: True, Outcome.BROKEN: False}.get(self.outcome)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rows of one setting; while items are still being scored, of what there is so far."""

    dense: str
    """The models' names."""
    pruned: str
    setting: str
    """The prune setting, or "" for a model made elsewhere."""
    margin: Share
    level: Share
    rows: tuple[TaskVerdict, ...]
    done: Natural
    """Items scored, of all tasks."""
    of: Natural
    seconds_left: NonNegative | None = None
    notes: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        return self.done == self.of


@dataclass(frozen=True, slots=True)
class TaskResults:
    """Everything that was measured of one setting: what a results file holds, and a verdict is made of."""

    dense: str
    pruned: str
    setting: str
    results: tuple[ItemResult, ...]
    similarities: tuple[Similarities, ...] = ()
