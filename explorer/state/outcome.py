"""The same steps of one context before and after a change of the setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.summary import Summary, summarise


@dataclass(frozen=True, slots=True)
class Stretch:
    """The same steps of one context before and after a change."""

    steps: int
    """How many; steps at which one of the two settings has no figures are left out."""
    before: Summary
    after: Summary
    own: tuple[float, float] | None
    """ΣKL of each model on its own text before and after, over the steps that have it; None if both share one."""

    @property
    def verdict(self) -> str:
        """Is the pruned model now closer to the dense one, by ΣKL on the shared context?"""
        old, new = self.before.kl_shared_sum, self.after.kl_shared_sum
        if math.isnan(old) or math.isnan(new):
            return "undefined"
        return "no change" if old == new else "better" if new < old else "worse"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A setting against the one before it, over the steps that both have measured."""

    before: Setting | None
    after: Setting
    of: int
    """Steps that at least one of the two has measured; above `whole.steps` if the other was interrupted or ended."""
    whole: Stretch
    cursor: int
    """The step at the cursor when the change was asked for."""
    at: Stretch
    """Up to that cursor."""


def stretch(before: Sequence[StepRecord], after: Sequence[StepRecord]) -> Stretch:
    """Both paths over the steps at which both have figures."""
    both = [(old, new) for old, new in zip(before, after, strict=True) if old.shared and new.shared]
    sums = [summarise([pair[side] for pair in both]) for side in (0, 1)]
    own = None
    if not all(one.same_context for pair in both for one in pair):
        writing = [(old.own.p.kl, new.own.p.kl) for old, new in both if old.own and new.own]
        own = sum(old for old, _ in writing), sum(new for _, new in writing)
    return Stretch(len(both), sums[0], sums[1], own)
