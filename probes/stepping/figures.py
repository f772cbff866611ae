"""The figures of one position in the three spaces, made of sums over the two models' vectors.

The sums and their names are those of `sums`; the notation is that of `spaces`. Cosines are formed from the difference
of the unit vectors, cos = 1 - ‖u - u'‖²/2, so that 1 - cos keeps its digits near 1 and is exactly 0 for equal inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures

LN2 = math.log(2)


def hidden_figures(sums: Mapping[str, float]) -> HiddenFigures:
    """Theorem 1 is 1 - cos ≈ ‖Δh⊥‖² / (2‖h‖²)."""
    square, square_pruned = sums["h.square"], sums["h.square_pruned"]
    parallel, orthogonal = _split("dh", sums)
    along, across = _over(sums["h.along"], square), math.sqrt(_over(sums["h.across"], square))
    return HiddenFigures(
        cos=_cosine("h", sums, both_zero=square == square_pruned == 0),
        # The part of h' across h is that of Δh as well. Rounding only lengthens it: by h beside a small h', and by h'
        # beside a small Δh. Equal vectors have an angle of exactly 0 so.
        angle=math.degrees(math.atan2(min(across, orthogonal), along)) if square_pruned else math.nan,
        length_ratio=_over(math.sqrt(square_pruned), math.sqrt(square)),
        parallel=parallel,
        orthogonal=orthogonal,
        cos_estimate=orthogonal * orthogonal / 2,
    )


def logit_figures(sums: Mapping[str, float], changes: Sequence[float], vocabulary: int) -> LogitFigures:
    """`changes` are z' - z of the dense model's five largest logits."""
    parallel, orthogonal = _split("dz", sums)
    return LogitFigures(
        cos=_cosine("z", sums, both_zero=sums["z.square"] == sums["dz.squares"] == 0),
        cos_centred=_cosine("cz", sums, both_zero=sums["cz.square"] == sums["dz.squares_centred"] == 0),
        l2=math.sqrt(sums["dz.squares"]),
        rms=math.sqrt(sums["dz.squares"] / vocabulary),
        rms_centred=math.sqrt(sums["dz.squares_centred"] / vocabulary),
        mean_abs=sums["dz.sum_abs"] / vocabulary,
        max_abs=sums["dz.max_abs"],
        top5_rms=math.hypot(*changes) / math.sqrt(len(changes)),
        parallel=parallel,
        orthogonal=orthogonal,
    )


def probability_figures(sums: Mapping[str, float], ranks: tuple[int, int], overlap: float) -> ProbabilityFigures:
    """JS is ½ KL(p‖m) + ½ KL(q‖m) with m = (p + q)/2. `ranks` are those of the dense top token in the pruned model, and
    the reverse; `overlap` is the share of the top k that both have."""
    js = (sums["p.middle"] + (sums["q.middle"] - sums["q.capped"])) / -2
    return ProbabilityFigures(
        kl=_not_negative(-sums["p.ratio"]),
        kl_reverse=_not_negative(sums["q.ratio"]),
        js=LN2 if js > LN2 else _not_negative(js),
        tv=min(sums["p.distance"] / 2, 1.0),
        cos=_cosine("p", sums, both_zero=False),
        entropy_dense=sums["p.log_total"] - sums["p.below"],
        entropy_pruned=sums["q.log_total"] - sums["q.below"],
        kl_estimate=sums["p.variance"] / 2,
        cos_estimate=sums["pp.variance"] / sums["p.square"] / 2,
        rank_dense_in_pruned=ranks[0],
        rank_pruned_in_dense=ranks[1],
        topk_overlap=overlap,
    )


def _cosine(name: str, sums: Mapping[str, float], *, both_zero: bool) -> float:
    """1 - ‖u - u'‖²/2 of the unit vectors; undefined (nan) if exactly one vector is 0, and 1 if both are.

    In the plane of the two, in lengths of v, they are (1, 0) and (β, ‖v' - βv‖/‖v‖) with β = ⟨v', v⟩/‖v‖².
    """
    if both_zero:
        return 1.0
    square = sums[f"{name}.square"]
    along, across = _over(sums[f"{name}.along"], square), math.sqrt(_over(sums[f"{name}.across"], square))
    length = math.hypot(along, across)
    apart, across = 1 - _over(along, length), _over(across, length)
    return 1 - (apart * apart + across * across) / 2


def _split(name: str, sums: Mapping[str, float]) -> tuple[float, float]:
    """|α| and ‖Δv - αv‖/‖v‖ with α = ⟨Δv, v⟩/‖v‖²."""
    square = sums[f"{name}.square"]
    return abs(_over(sums[f"{name}.along"], square)), math.sqrt(_over(sums[f"{name}.across"], square))


def _over(a: float, b: float) -> float:
    """a/b, as IEEE 754 divides: by 0 too."""
    return a / b if b else a * math.inf


def _not_negative(figure: float) -> float:
    """The figure, but 0 if rounding made it less, and not -0; a nan stays one."""
    return 0.0 if figure <= 0 else figure
