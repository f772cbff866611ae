"""Repairs: the sublayers, matrices or weights whose restoration brings the KL down. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.schema.bounds import Natural, NonNegative, Share
from probes.schema.errors import BadInput

RepairLevel = Literal["sublayer", "matrix", "weight"]


@dataclass(frozen=True, slots=True)
class RepairGoal:
    """The condition that ends a search. Without any of these, the goal is that no step of the span splits."""

    kl: float | None = None
    """The mean KL over the span is at most this."""
    agreement: float | None = None
    """At least this share of the steps have the same top token in both models."""
    no_split: bool = False
    """The first step of the span at which the top tokens differ, and all steps before it, have the same."""
    budget: int | None = None
    """The most pruned parameters that may be given back. Alone, it asks for the lowest KL within it."""

    def __post_init__(self) -> None:
        if self.kl is not None and not 0 <= self.kl < float("inf"):
            raise BadInput("Target", f"{self.kl:g} is not a KL.", "Give a number of nats, 0 or above.")
        if self.agreement is not None and not 0 < self.agreement <= 1:
            raise BadInput("Target", f"{self.agreement} is not a share of steps.", "Use a number above 0, up to 1.")
        if self.budget is not None and self.budget < 1:
            raise BadInput("Budget", f"A budget of {self.budget} gives nothing back.", "Give a number of parameters.")

    @property
    def only_budget(self) -> bool:
        """Is the budget all that was asked for?"""
        return self.budget is not None and self.kl is None and self.agreement is None and not self.no_split


@dataclass(frozen=True, slots=True)
class GivenBack:
    """One sublayer or matrix that is restored, or a share of all pruned weights."""

    layer: Natural | None
    """None for single weights, which are chosen over the whole model."""
    sublayer: str
    """"attn", "mlp" or ""."""
    matrix: str
    """The name of the matrix within its sublayer, such as "q_proj"; "" for the whole sublayer or for single weights."""
    parameters: Natural
    """Pruned parameters that come back with it."""
    kl_after: NonNegative
    """The mean KL over the span once this and everything before it is given back."""
    agree_after: Share | None = None
    """The share of the steps at which both models' most likely token is the same then. None in recordings of earlier
    versions, which lack it."""


@dataclass(frozen=True, slots=True)
class Gain:
    """The figures of some text, before and after a repair."""

    steps: Natural
    kl_before: NonNegative
    kl_after: NonNegative
    agree_before: Share
    """The share of steps at which both models' most likely token is the same."""
    agree_after: Share


@dataclass(frozen=True, slots=True)
class Repair:
    """The smallest set that was found, as a setting, and what it gains."""

    level: RepairLevel
    target_kl: float | None
    budget: Natural | None
    """The most parameters that may be given back."""
    reached: bool
    """True if the target is met within the budget."""
    setting: str
    """The setting to apply: the one that was there, and what it restores."""
    given_back: tuple[GivenBack, ...]
    """In the order in which they were chosen; what turned out not to be needed is not among them."""
    not_needed: Natural
    """How many were chosen and taken out again."""
    parameters: Natural
    """Pruned parameters that come back in all."""
    of: Natural
    """Pruned parameters before."""
    span: Gain
    """On the steps that it was fitted to."""
    held_out: Gain | None
    """On text that it was not fitted to: the steps after the span, or a second prompt; None if there is none."""
    held_out_text: str
    """The source of that text, in a phrase: "the 32 steps after the span"."""
    tried: Natural
    """How many sets were measured."""
    target_agreement: float | None = None
    target_no_split: bool = False
    only_dense: bool = False
    """True if the target is not reached and, as far as was searched, only giving everything back would reach it."""
    notes: tuple[str, ...] = ()
    """Sentences that a reader of the figures must know."""
