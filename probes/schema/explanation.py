"""What explains one token: figures by layer and sublayer, exchanges of sublayers, and what moved the two tokens.

Frozen data without torch. All divergences are in nats, and the dense model is the reference. The formulas are in
docs/figures.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.schema.bounds import Bounded, Natural, NonNegative, Place, Share, TokenString
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures


@dataclass(frozen=True, slots=True)
class SpaceFigures:
    """How far two states of the residual stream are apart: in `h`, and in `z` and `p` through final norm and head."""

    h: HiddenFigures
    """Of the residual stream itself, before the final norm."""
    z: LogitFigures
    p: ProbabilityFigures


@dataclass(frozen=True, slots=True)
class LensToken:
    """The likeliest token of a state of the residual stream, read through the model's final norm and head."""

    token_id: Natural
    token: TokenString
    p: Share


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One sublayer at one step."""

    layer: Natural
    sublayer: str
    """"attn" or "mlp"."""
    same_input: SpaceFigures
    """The dense and the pruned sublayer on the dense model's input and cache, read through its norm and head."""
    accumulated: SpaceFigures
    """The two models' streams after this sublayer, each from its own run."""
    lens_dense: LensToken
    lens_pruned: LensToken


@dataclass(frozen=True, slots=True)
class Layers:
    """Every sublayer at one step, in the order of the stream."""

    rows: tuple[LayerFigures, ...]

    @property
    def parting(self) -> LayerFigures | None:
        """The sublayer from which on the two lenses never show the same token again; None if they end on one."""
        parting = None
        for row in reversed(self.rows):
            if row.lens_dense.token_id == row.lens_pruned.token_id:
                break
            parting = row
        return parting


@dataclass(frozen=True, slots=True)
class Swap:
    """One sublayer exchanged: a dense one in the pruned model (heal), or a pruned one in the dense model (damage)."""

    layer: Natural
    sublayer: str
    """"attn" or "mlp"."""
    kl_before: NonNegative
    """The mean KL over the span without the exchange; 0 in the dense model."""
    kl_after: NonNegative
    kl_drop: Bounded
    """What the exchange takes away from the KL: the heal; of damage, negative."""
    top_token_returns: bool
    """True if at every step of the span, after the exchange, the top token is the dense model's."""
    estimate: Bounded | None = None
    """The first-order estimate of the heal: an order to look in, not a figure to quote."""
    exact: bool = True
    """False while only the estimate is known: `kl_drop` and `kl_after` are then the estimate's."""
    piece: str = ""
    """What of the sublayer was exchanged, one level down: a matrix ("q_proj"), "head 3" or "group 1"; "" for all."""


@dataclass(frozen=True, slots=True)
class Swaps:
    """Heal and damage of every sublayer over a span."""

    steps: Place
    """In the span."""
    kl: NonNegative
    """The mean KL over the span, of one pass over the whole context."""
    kl_all_healed: NonNegative
    """With every dense sublayer in the pruned model: 0 if the models differ in nothing else."""
    heal: tuple[Swap, ...]
    """The largest first."""
    damage: tuple[Swap, ...]
    """The largest first."""
    additivity: Bounded | None
    """The sum of all heals by the KL: 1 if they add up. None if the KL is 0."""
    control: Bounded
    """What the KL changes by if nothing is exchanged; anything but 0 is an error."""
    rank_correlation: Bounded | None = None
    """Spearman's, of the heals and their estimates; None without estimates, or if one of the two is constant."""
