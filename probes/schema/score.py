"""The figures of long texts that both models read, as frozen data without torch. The formulas are in docs/figures.md.

The dense model is the reference. Divergences are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.bounds import Bounded, Natural, NonNegative, Share
from probes.schema.errors import BadInput
from probes.schema.option import described

WINDOW = 512
"""The default length of a window, in tokens; a shorter context of the models makes it shorter."""
QUANTILES = (0.001, 0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999)
CERTAINTIES = (0.25, 0.5, 0.75, 0.95)
"""The bounds between the groups of the dense model's largest probability."""


class Scored(StrEnum):
    """Which tokens of a window are scored; those before them serve as context only."""

    NEW = "new"
    """All that no earlier window has read: every token of the text once."""
    HALF = "half"
    """Those of the second half of each whole window, as llama.cpp's perplexity does."""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """How a text is cut into windows."""

    window: int = field(
        default=0,
        metadata=described(
            "Tokens that the models read in one window.", shown_default=f"{WINDOW}, or the models' context", least=2
        ),
    )
    stride: int = field(
        default=0,
        metadata=described(
            "Tokens from one window to the next; less than a window reads the rest again, as context.",
            shown_default="a window",
            least=1,
        ),
    )
    scored: Scored = field(
        default=Scored.NEW,
        metadata=described("The scored tokens of a window: the new ones, or its second half as llama.cpp does."),
    )

    def __post_init__(self) -> None:
        if self.window < 0 or self.window == 1:
            raise BadInput("Window", f"A window of {self.window} tokens scores nothing.", "Use 2 or more.")
        if self.stride < 0:
            raise BadInput("Stride", f"{self.stride} is not a number of tokens.", "Use 1 or more.")
        if self.stride and self.scored is Scored.HALF:
            raise BadInput(
                "Stride", "Windows of which the second half is scored follow one another.", "Leave --stride out."
            )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the positions with its standard errors."""

    mean: Bounded
    se: NonNegative | None
    """Clustered by window: tokens of one window are not independent. None with fewer than two windows."""
    se_naive: NonNegative | None
    """As if all positions were independent. None with fewer than two."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of a figure over the positions."""

    min: Bounded
    quantiles: tuple[Bounded, ...]
    """At the shares `QUANTILES`."""
    max: Bounded
    error: NonNegative = 0.0
    """The largest relative error of a quantile: 0 unless there are too many positions to keep each."""


@dataclass(frozen=True, slots=True)
class GroupScore:
    """The positions of one kind."""

    name: str
    positions: Natural
    kl: NonNegative
    kl_se: NonNegative | None
    """Clustered by window."""
    same_top: Share


@dataclass(frozen=True, slots=True)
class SpaceMeans:
    """Means over the positions in the three spaces, and of the local estimates of the theorems."""

    h: NonNegative
    """Of 1 - cos h."""
    z: NonNegative
    """Of 1 - centred cos z."""
    p: NonNegative
    """Of 1 - cos p."""
    h_estimate: NonNegative
    """Theorem 1, of 1 - cos h."""
    p_estimate: NonNegative
    """Theorem 2, of 1 - cos p."""
    kl_estimate: NonNegative
    """Theorem 3, of the KL."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """One second model or setting on all texts."""

    name: str
    """The setting, or the model's name."""
    positions: Natural
    """Scored tokens at which both models are finite; without any, all figures of them are NaN."""
    windows: Natural
    nonfinite_dense: Natural
    """Scored tokens at which the dense model computes NaN or infinity; they are in no other figure."""
    nonfinite_pruned: Natural
    """The same of the second model, where the dense one is finite."""
    ppl_dense: NonNegative
    ppl_pruned: NonNegative
    ppl_ratio: Estimate
    """exp of the mean of log p(y) - log q(y): pruned over dense; its standard errors by the delta method."""
    kl: Estimate
    """KL(p‖q). Against a saved reference, a lower bound of it."""
    kl_upper: Estimate | None
    """The upper bound against a saved reference; None if the KL is exact."""
    kl_spread: Spread
    kl_reverse: Estimate | None
    """KL(q‖p); None against a saved reference."""
    dp: Estimate
    """q(y) - p(y) of the text's token."""
    dp_rms: NonNegative
    dp_spread: Spread
    same_top: Share
    by_certainty: tuple[GroupScore, ...]
    """By the dense model's largest probability."""
    by_place: tuple[GroupScore, ...]
    """By the number of tokens before it in the window, in octaves."""
    by_kind: tuple[GroupScore, ...]
    """By the kind of the text's token."""
    spaces: SpaceMeans | None
    """None against a saved reference."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one or more second models on the same texts and windows."""

    dense: str
    texts: tuple[str, ...]
    """Files, by name."""
    window: Natural
    stride: Natural
    scored: Scored
    tokens: Natural
    """Tokens that each model read, those read again included."""
    rows: tuple[TextScore, ...]
    notes: tuple[str, ...] = ()
