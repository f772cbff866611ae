"""Shares one amount out among the layers by how much the pruning of each one costs. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPREAD = 0.15
"""A layer's ratio differs from the mean by at most this."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What pruning one layer alone does."""

    layer: int
    kl: float
    """Mean KL a step on a prompt, in nats."""
    weights: float
    """Its weights that can be pruned."""


def growth(amounts: tuple[float, float], kls: tuple[float, float]) -> float | None:
    """By how much ln KL grows with the ratio: its slope between two uniform settings. None if it does not grow."""
    if amounts[0] == amounts[1] or not all(math.isfinite(kl) and kl > 0 for kl in kls):
        return None
    slope = (math.log(kls[1]) - math.log(kls[0])) / (amounts[1] - amounts[0])
    return slope if slope > 0 else None


def layer_ratios(ratio: float, costs: Sequence[LayerCost], slope: float) -> dict[int, float]:
    """Each layer's ratio, with the mean `ratio` over all weights, that costs the least in all.

    If pruning layer l by r_l costs s_l·exp(k·r_l), the sum is smallest, for a given mean, where s_l·exp(k·r_l) / n_l is
    the same in all layers (Lagrange): r_l = c - ln(s_l / n_l) / k, n_l its weights and k the `slope`. Each ratio stays
    within `SPREAD` of the mean and within [0, 1]; c is found by halving, so that the mean is kept. A layer without a
    cost counts as the least costly one.
    """
    least = min((one.kl for one in costs if one.kl > 0), default=1.0)
    wishes = {one.layer: -math.log(max(one.kl, least) / one.weights) / slope for one in costs}
    sizes = {one.layer: one.weights for one in costs}
    low, high = max(0.0, ratio - SPREAD), min(1.0, ratio + SPREAD)

    def at(level: float) -> dict[int, float]:
        return {layer: min(high, max(low, level + wish)) for layer, wish in wishes.items()}

    below, above = low - max(wishes.values()), high - min(wishes.values())
    for _ in range(60):
        middle = (below + above) / 2
        if _mean(at(middle), sizes) < ratio:
            below = middle
        else:
            above = middle
    return at(above)


def table_lines(ratios: Mapping[int, float], why: str) -> str:
    """The text of a table's file: a line for each layer and its ratio, after a comment on how they were found."""
    lines = [f"# {why}", *(f"{layer} {ratios[layer]:.4f}" for layer in sorted(ratios))]
    return "\n".join(lines) + "\n"


def _mean(ratios: Mapping[int, float], sizes: Mapping[int, float]) -> float:
    return math.fsum(ratios[layer] * size for layer, size in sizes.items()) / math.fsum(sizes.values())
