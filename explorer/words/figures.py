"""The catalogue of a step's figures: label, unit, which way is better, how each is written, where it is in a record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from explorer.words import numbers
from probes.schema.record import StepRecord, Watched


class Scope(StrEnum):
    """Which comparison a figure is of."""

    SHARED = "shared"
    """Both models on one shared context: pruning alone."""
    OWN = "own"
    """Each model on its own context: pruning and drift together. Differs from shared in `free` only."""


class Better(StrEnum):
    """The direction in which the pruned model is closer to the dense one, as an arrow."""

    HIGHER = "↑"
    LOWER = "↓"
    NEITHER = " "


@dataclass(frozen=True, slots=True)
class StepFigure:
    key: str
    """Its dotted name in the record: "p.kl"."""
    label: str
    """In words for newcomers."""
    better: Better
    write: Callable[[float], str]
    unit: str = ""


_ALL = (
    StepFigure("h.cos", "cosine", Better.HIGHER, numbers.cosine),
    StepFigure("h.angle", "angle", Better.LOWER, numbers.degrees),
    StepFigure("h.length_ratio", "length", Better.NEITHER, numbers.times),
    StepFigure("h.orthogonal", "turned", Better.LOWER, numbers.percent),
    StepFigure("h.parallel", "rescaled", Better.LOWER, numbers.percent),
    StepFigure("h.gap", "1 − cosine", Better.LOWER, numbers.significant),
    StepFigure("h.cos_estimate", "Theorem 1", Better.LOWER, numbers.significant),
    StepFigure("h.ratio", "est. / true", Better.NEITHER, numbers.times),
    StepFigure("z.cos_centred", "centred cos", Better.HIGHER, numbers.cosine),
    StepFigure("z.cos", "raw cos", Better.HIGHER, numbers.cosine),
    StepFigure("z.rms_centred", "distance", Better.LOWER, numbers.significant, "rms"),
    StepFigure("z.rms", "raw dist.", Better.LOWER, numbers.significant, "rms"),
    StepFigure("z.top5_rms", "of top 5", Better.LOWER, numbers.significant, "rms"),
    StepFigure("z.mean_abs", "mean |Δz|", Better.LOWER, numbers.significant),
    StepFigure("z.max_abs", "largest |Δz|", Better.LOWER, numbers.significant),
    StepFigure("z.l2", "‖Δz‖", Better.LOWER, numbers.significant),
    StepFigure("z.orthogonal", "turned", Better.LOWER, numbers.percent),
    StepFigure("z.parallel", "rescaled", Better.LOWER, numbers.percent),
    StepFigure("p.kl", "KL", Better.LOWER, numbers.significant, "nat"),
    StepFigure("p.kl_reverse", "reverse", Better.LOWER, numbers.significant, "nat"),
    StepFigure("p.tv", "TV", Better.LOWER, numbers.significant),
    StepFigure("p.cos", "cosine", Better.HIGHER, numbers.cosine),
    StepFigure("p.kl_estimate", "Theorem 3", Better.LOWER, numbers.significant, "nat"),
    StepFigure("p.kl_ratio", "est. / true", Better.NEITHER, numbers.times),
    StepFigure("p.cos_ratio", "est. / true", Better.NEITHER, numbers.times),
    StepFigure("p.js", "JS", Better.LOWER, numbers.significant, "nat"),
    StepFigure("p.gap", "1 − cosine", Better.LOWER, numbers.significant),
    StepFigure("p.cos_estimate", "Theorem 2", Better.LOWER, numbers.significant),
    StepFigure("p.entropy_dense", "entropy dense", Better.NEITHER, numbers.significant, "nat"),
    StepFigure("p.entropy_pruned", "entropy pruned", Better.NEITHER, numbers.significant, "nat"),
    StepFigure("p.rank_dense_in_pruned", "1st of p in q", Better.LOWER, numbers.rank),
    StepFigure("p.rank_pruned_in_dense", "1st of q in p", Better.LOWER, numbers.rank),
    StepFigure("p.topk_overlap", "top-k shared", Better.HIGHER, numbers.percent),
    StepFigure("p.amplification_h", "amplified from h", Better.NEITHER, numbers.times),
    StepFigure("p.amplification_z", "amplified from z", Better.NEITHER, numbers.times),
    StepFigure("watched.kl", "KL", Better.LOWER, numbers.significant, "nat"),
    StepFigure("watched.kl_reverse", "reverse", Better.LOWER, numbers.significant, "nat"),
    StepFigure("watched.cos", "cosine", Better.HIGHER, numbers.cosine),
    StepFigure("watched.mass_dense", "mass dense", Better.NEITHER, numbers.chance),
    StepFigure("watched.mass_pruned", "mass pruned", Better.NEITHER, numbers.chance),
    StepFigure("sum.kl", "ΣKL", Better.LOWER, numbers.significant, "nat"),
    StepFigure("sum.survival", "survival", Better.HIGHER, numbers.chance),
)
FIGURES = {figure.key: figure for figure in _ALL}

_RATIOS = {
    "h.ratio": ("h.cos_estimate", "h.gap"),
    "p.kl_ratio": ("p.kl_estimate", "p.kl"),
    "p.cos_ratio": ("p.cos_estimate", "p.gap"),
    "p.amplification_h": ("p.gap", "h.gap"),
    "p.amplification_z": ("p.gap", "z.gap"),
}
"""Figures that are ratios: an estimate to the measured figure, a change in one space to that in an earlier one."""
FLOAT_NOISE = 1e-6
"""A measured 1 - cosine below this is rounding error, and a ratio to it has no meaning."""


def figure_name(key: str) -> str:
    """A figure's label with the space it is of, where the panel does not say it: "angle of h"."""
    group = key.partition(".")[0]
    label = FIGURES[key].label
    return {"sum": label, "watched": f"{label} of watched tokens"}.get(group, f"{label} of {group}")


def value(record: StepRecord, key: str, scope: Scope) -> float | None:
    """One figure of a step, or None if the step has none."""
    group, _, name = key.partition(".")
    if group == "sum":
        return _sum(record, name, scope)
    if key in _RATIOS:
        return _ratio(record, *_RATIOS[key], scope)
    found = record.shared if scope is Scope.SHARED else record.own
    if found is None:
        return None
    if group == "watched":
        return _watched(found.watched, name)
    figures = getattr(found, group)
    if name == "gap":
        return 1.0 - float(figures.cos_centred if group == "z" else figures.cos)
    return float(getattr(figures, name))


def text(record: StepRecord, key: str, scope: Scope) -> str:
    """One figure of a step as the screen shows it, without its unit."""
    found = value(record, key, scope)
    return numbers.NONE if found is None else FIGURES[key].write(found)


def _watched(watched: Watched | None, name: str) -> float | None:
    """A figure over all watched groups ("kl"), or of one by its place ("2.share_dense")."""
    place, _, figure = name.rpartition(".")
    if watched is None or (place and int(place) >= len(watched.groups)):
        return None
    found = getattr(watched.groups[int(place)] if place else watched, figure)
    return None if found is None else float(found)


def _sum(record: StepRecord, name: str, scope: Scope) -> float:
    if name == "kl" and scope is Scope.SHARED:
        return record.sum.kl_shared
    return float(getattr(record.sum, name))


def _ratio(record: StepRecord, above: str, below: str, scope: Scope) -> float | None:
    """One figure over another; undefined if the other is rounding error."""
    numerator, denominator = value(record, above, scope), value(record, below, scope)
    if numerator is None or denominator is None:
        return None
    return numerator / denominator if denominator > FLOAT_NOISE else math.nan
