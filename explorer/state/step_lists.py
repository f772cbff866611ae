"""Which steps of a run are listed: the worst by a figure, the marked ones, those found, those explained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from explorer.state.view import View
from explorer.words.figures import FIGURES, Better, Scope

FIRST_FIGURES = ("p.kl", "h.angle", "z.rms_centred", "p.tv", "z.max_abs", "h.gap", "p.gap")
"""Those by which one looks most often."""


class StepKind(Enum):
    """Which steps are in the list."""

    WORST = "worst"
    MARKED = "marked"
    FOUND = "found"
    EXPLAINED = "explained"


@dataclass(frozen=True, slots=True)
class StepListLook:
    """How the list is looked at."""

    kind: StepKind = StepKind.WORST
    figure: str = FIRST_FIGURES[0]
    """The key of the figure in `words.figures.FIGURES`."""

    def with_next(self, view: View, places: int) -> StepListLook:
        """By the next figure, or by an earlier one."""
        keys = listed_figures(view)
        place = keys.index(self.figure) if self.figure in keys else 0
        return replace(self, figure=keys[(place + places) % len(keys)])


def listed_figures(view: View) -> list[str]:
    """The figures that a list can be sorted by, the most useful ones first; those of watched tokens if it has any."""
    rest = [key for key in FIGURES if key not in FIRST_FIGURES and not key.startswith("sum.")]
    return [*FIRST_FIGURES, *(key for key in rest if view.watch or not key.startswith("watched."))]


def listed_steps(view: View, look: StepListLook) -> Sequence[int]:
    """The steps in the order of the list: the worst first, the others as they were measured."""
    match look.kind:
        case StepKind.MARKED:
            return view.marked
        case StepKind.FOUND:
            return tuple(view.hits)
        case StepKind.EXPLAINED:
            return view.explained_at
    return worst_steps(view, look.figure)


def worst_steps(view: View, key: str) -> list[int]:
    """The steps by a figure on the shared context, the worst first: the largest value, or the smallest of a figure that
    is better if it is high. An infinite value is before all others, of equal ones the earlier step is; a step without
    the figure is left out."""
    column = view.columns.get(key, Scope.SHARED)
    sign = 1.0 if FIGURES[key].better is Better.HIGHER else -1.0
    found: list[tuple[float, int]] = []
    for index in range(len(column)):
        value = column.at(index)
        if value is not None and not math.isnan(value):
            found.append((sign * value, index + 1))
    return [step for _, step in sorted(found)]
