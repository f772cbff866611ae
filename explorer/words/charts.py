"""The catalogue of charts: figure, name, axis, unit and scale.

The panels, the comparison, the exports and the page all draw from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from explorer.words.figures import FIGURES


class ScaleKind(StrEnum):
    """The range of an axis."""

    COSINE = "cosine"
    """Up to 1."""
    DIVERGENCE = "divergence"
    """By powers of ten, or from 0."""
    ABOVE = "above"
    """From 0."""
    SHARE = "share"
    """From 0 to 1."""
    CHANCE = "chance"
    """From 0 to 1 on the screen; in print and on the page by powers of ten."""


@dataclass(frozen=True, slots=True)
class ChartKind:
    """One figure over the steps."""

    key: str
    """Its dotted name in the record."""
    name: str
    """In words."""
    axis: str
    """In symbols, for print."""
    scale: ScaleKind
    unit: str = ""
    beside: str = ""
    """A second figure, dotted, which is shown while there is no second context."""
    beside_name: str = ""

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} in {self.unit}s" if self.unit else self.name

    @property
    def better(self) -> str:
        """An arrow: which way the pruned model is closer to the dense one."""
        return FIGURES[self.key].better.value.strip()

    @property
    def falls(self) -> bool:
        """Is a lower value worse?"""
        return self.better == "↑"

    @property
    def log(self) -> bool:
        """Does its axis go by powers of ten?"""
        return self.scale in (ScaleKind.DIVERGENCE, ScaleKind.CHANCE)

    @property
    def ceiling(self) -> float | None:
        """A bound that no value can pass."""
        return 1.0 if self.scale in (ScaleKind.COSINE, ScaleKind.SHARE, ScaleKind.CHANCE) else None


_COSINE, _DIVERGENCE, _ABOVE, _SHARE, _CHANCE = ScaleKind
_ALL = (
    ChartKind("h.cos", "cosine of h", "cos h", _COSINE),
    ChartKind("h.angle", "angle", "∠(h, h′)", _ABOVE, "degree"),
    ChartKind("h.gap", "1 − cosine", "1 − cos h", _DIVERGENCE, beside="h.cos_estimate", beside_name="Theorem 1"),
    ChartKind("h.length_ratio", "length ratio", "‖h′‖ / ‖h‖", _ABOVE),
    ChartKind("z.cos_centred", "centred cosine of z", "cos z, centred", _COSINE, beside="z.cos", beside_name="raw"),
    ChartKind("z.cos", "raw cosine of z", "cos z, raw", _COSINE),
    ChartKind("z.rms_centred", "distance, centred rms of Δz", "rms Δz, centred", _ABOVE),
    ChartKind("z.rms", "distance, rms of Δz", "rms Δz", _ABOVE),
    ChartKind("z.max_abs", "largest |Δz|", "max |Δz|", _ABOVE),
    ChartKind("p.kl", "KL", "KL(p‖q)", _DIVERGENCE, "nat", beside="p.kl_estimate", beside_name="Theorem 3"),
    ChartKind("p.tv", "total variation", "TV", _SHARE),
    ChartKind("p.cos", "cosine of p", "cos p", _COSINE),
    ChartKind("p.gap", "1 − cosine of p", "1 − cos p", _DIVERGENCE, beside="p.cos_estimate", beside_name="Theorem 2"),
    ChartKind("p.entropy_dense", "entropy of p", "H(p)", _ABOVE, "nat", beside="p.entropy_pruned", beside_name="of q"),
    ChartKind("sum.kl", "ΣKL", "ΣKL", _ABOVE, "nat"),
    ChartKind("sum.survival", "survival", "survival", _CHANCE),
)
CHARTS = {chart.key: chart for chart in _ALL}


def charts(*keys: str) -> tuple[ChartKind, ...]:
    """The charts of these figures, in this order."""
    return tuple(CHARTS[key] for key in keys)
