"""The findings about one token by layer: how far every sublayer has moved, and what exchanging it changes.

Frozen data without torch. All divergences are in nats, and the dense model is the reference. The formulas are in
docs/figures.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from probes.schema.bounds import Bounded, Natural, NonNegative, Place, Share, TokenString
from probes.schema.part import Part
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures


@dataclass(frozen=True, slots=True)
class SpaceFigures:
    """The distance between two states of the residual stream: in `h`, and through the final norm and the head in `z`
    and `p`."""

    h: HiddenFigures
    """Compares the residual streams themselves, before the final norm."""
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
    same_input: SpaceFigures | None
    """Compares the dense and the pruned sublayer on the dense model's input and cache, through its norm and head. None
    if the two models' layers can't be set against one another."""
    accumulated: SpaceFigures
    """Compares the two models' residual streams after this sublayer, each from its own run. If the pruned model has
    another number of layers, its stream at the same share of its depth."""
    lens_dense: LensToken
    lens_pruned: LensToken


@dataclass(frozen=True, slots=True)
class Layers:
    """Every sublayer at one step, in the order of the residual stream."""

    rows: tuple[LayerFigures, ...]

    @property
    def parting(self) -> LayerFigures | None:
        """The first sublayer after which the two lenses never show the same token again. None if they end on the same
        token."""
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
    """KL before minus KL after: the heal. Damage is negative."""
    top_token_returns: bool
    """True if at every step of the span, after the exchange, the top token is the dense model's."""
    estimate: Bounded | None = None
    """The first-order estimate of the heal. Use it to order the sublayers; do not quote it."""
    exact: bool = True
    """False while only the estimate is known: `kl_drop` and `kl_after` are then the estimate's."""
    piece: str = ""
    """The exchanged piece, one level down: a matrix ("q_proj"), "head 3" or "group 1"; "" for the whole sublayer."""


@dataclass(frozen=True, slots=True)
class Swaps:
    """Heal and damage of every sublayer over a span."""

    steps: Place
    """How many steps the span has."""
    kl: NonNegative
    """The mean KL over the span, from one pass over the whole context."""
    kl_all_healed: NonNegative
    """The mean KL with every dense sublayer in the pruned model: 0 if the models differ in nothing else."""
    heal: tuple[Swap, ...]
    """Largest first."""
    damage: tuple[Swap, ...]
    """Largest first."""
    additivity: Bounded | None
    """The sum of all heals divided by the KL: 1 if they add up. None if the KL is 0."""
    control: Bounded
    """The change of the KL if nothing is exchanged. Anything but 0 is an error."""
    rank_correlation: Bounded | None = None
    """Spearman's rank correlation of the heals and their estimates. None without estimates, or if one of the two is
    constant."""

    def has(self, part: Part) -> bool:
        """Is this sublayer, or a piece of it, among the heals?"""
        return any((one.layer, one.sublayer) == (part.layer, part.kind) for one in self.heal)

    def joined(self, other: Swaps) -> Swaps:
        """These exchanges and, where they differ, the other ones, of the same models and steps."""
        heal, damage = (
            {(one.layer, one.sublayer, one.piece): one for one in (*ours, *theirs)}.values()
            for ours, theirs in ((self.heal, other.heal), (self.damage, other.damage))
        )
        return replace(
            other,
            heal=tuple(sorted(heal, key=lambda one: (math.isnan(one.kl_after), one.kl_after))),
            damage=tuple(sorted(damage, key=lambda one: -one.kl_after if one.kl_after >= 0 else -math.inf)),
            additivity=math.fsum(one.kl_drop for one in heal) / other.kl if other.kl > 0 else None,
        )
