"""The figures that the heat map of a sweep can show: of a task's row, of a prompt's run, and how each is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from explorer.words import numbers
from explorer.words.kl_levels import KL_BOUNDS
from explorer.words.verdict_figures import loss, signed_tenths, tenths
from probes.schema.summary import Summary, summary_value
from probes.schema.sweep import CellResult
from probes.schema.verdict import SpaceLoss, TaskVerdict

Measured = TaskVerdict | Summary | CellResult
"""What a figure is read from: the row of a task, the run of a prompt, or the result of either."""
Get = Callable[[Measured], float | None]
"""The figure of one of these; None of another kind, or if it has none."""

_SHARES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
_COSINES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)


@dataclass(frozen=True, slots=True)
class CellFigure:
    """A figure of one kind of cell."""

    unit: str
    """"%", "points", "nat", "step", "s", "1 − cos"."""
    of: Get
    text: Callable[[float], str]
    far: Get
    """How far the cell is from an identical model, by which it is coloured."""
    bounds: tuple[float, ...]
    """The lower bounds of levels 1 to 7 of `far`; they are fixed, so that a colour means the same in every sweep."""

    def level(self, far: float) -> int | None:
        """From 0, alike, to 7; None if it is undefined."""
        return None if far != far else bisect_right(self.bounds, far)


@dataclass(frozen=True, slots=True)
class SweepFigure:
    """A figure of the heat map, of tasks and of prompts; None if there is none for that kind."""

    name: str
    of_task: CellFigure | None
    of_prompt: CellFigure | None
    by_outcome: bool = False
    """Are the cells of tasks coloured by their outcome, instead of by the figure?"""

    def of(self, *, prompt: bool) -> CellFigure | None:
        return self.of_prompt if prompt else self.of_task


def _row(get: Callable[[TaskVerdict], float | None]) -> Get:
    return lambda found: get(found) if isinstance(found, TaskVerdict) and found.items else None


def _spaces(get: Callable[[SpaceLoss], float | None]) -> Get:
    return _row(lambda row: get(row.spaces) if row.spaces is not None else None)


def _run(key: str) -> Get:
    return lambda found: summary_value(found, key) if isinstance(found, Summary) else None


def _result(get: Callable[[CellResult], float | None]) -> Get:
    return lambda found: get(found) if isinstance(found, CellResult) else None


def _unlike(get: Get) -> Get:
    """1 less a share."""

    def far(found: Measured) -> float | None:
        value = get(found)
        return None if value is None else 1.0 - value

    return far


def _same(unit: str, get: Get, text: Callable[[float], str], bounds: tuple[float, ...]) -> CellFigure:
    """A figure that is itself a distance."""
    return CellFigure(unit, get, text, get, bounds)


def _share(get: Get, text: Callable[[float], str], bounds: tuple[float, ...]) -> CellFigure:
    """A share that is 1 for an identical model."""
    return CellFigure("%", get, text, _unlike(get), bounds)


def _first_split(found: Measured) -> float | None:
    """The step; one more than there are, if the choices never differ."""
    if not isinstance(found, Summary):
        return None
    return found.first_split if found.first_split is not None else found.steps + 1.0


def _soon(found: Measured) -> float | None:
    step = _first_split(found)
    return None if not step else 1.0 / step


def _removed(found: CellResult) -> float | None:
    return found.removed.share if found.removed is not None else None


def _steps(value: float) -> str:
    return f"{value:.0f}"


def _tenths(value: float) -> str:
    return f"{value:.1f}"


_LOST = _row(lambda row: -row.difference.value)
_DIFFERENCE = CellFigure("points", _row(lambda row: row.difference.value), signed_tenths, _LOST, _SHARES)
_SCORE = CellFigure("%", _row(lambda row: row.pruned.value), tenths, _LOST, _SHARES)
_KL_RUN = _same("nat", _run("kl_shared.mean"), numbers.significant, KL_BOUNDS)
_PARAMETERS = _same("%", _result(_removed), tenths, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7))
_SECONDS = _same("s", _result(lambda found: found.seconds), _tenths, (1, 3, 10, 30, 100, 300, 1000))

VERDICT = SweepFigure("verdict", _DIFFERENCE, _KL_RUN, by_outcome=True)
SWEEP_FIGURES = (
    VERDICT,
    SweepFigure("difference", _DIFFERENCE, None),
    SweepFigure("score", _SCORE, None),
    SweepFigure(
        "agreement",
        _share(_row(lambda row: row.agreement), numbers.whole_percent, _SHARES),
        _share(_run("agree_rate"), numbers.whole_percent, _SHARES),
    ),
    SweepFigure("lost in h", _same("1 − cos", _spaces(lambda of: of.h), loss, _COSINES), None),
    SweepFigure("lost in z", _same("1 − cos", _spaces(lambda of: of.z), loss, _COSINES), None),
    SweepFigure("lost in p", _same("1 − cos", _spaces(lambda of: of.p), loss, _COSINES), None),
    SweepFigure("KL", _same("nat", _spaces(lambda of: of.kl), numbers.significant, KL_BOUNDS), _KL_RUN),
    SweepFigure("survival", None, _share(_run("survival"), numbers.chance, (0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.999))),
    SweepFigure(
        "first split", None, CellFigure("step", _first_split, _steps, _soon, (0.02, 0.04, 0.07, 0.1, 0.2, 0.5, 0.9))
    ),
    SweepFigure("parameters removed", _PARAMETERS, _PARAMETERS),
    SweepFigure("seconds", _SECONDS, _SECONDS),
)
"""In the order in which a key goes through them."""
