"""Plants faults in a lightly pruned model and counts how often the damaged sublayer is found.

Every fault is in one sublayer, chosen at random. The sublayers are ranked by their heal over the last steps of a
context, as an explanation ranks them. Light pruning must be light in every sublayer: by magnitude, a quarter of the
weights of each row, a single MLP of a small model can do more harm than a fault elsewhere, and rightly ranks above it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from probes.explain.estimate import estimate_heals
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges, mean_kl
from probes.prune.criteria import keep_highest, removed
from probes.schema.part import Part
from probes.system.progress import UNWATCHED, Work
from probes.twin.twin import Twin

KINDS = ("pruned at 0.9", "noise", "zeroed")


@dataclass(frozen=True, slots=True)
class Plant:
    """One fault, and where its sublayer ranked."""

    kind: str
    """One of `KINDS`."""
    part: Part
    rank: int
    """By the exact heals; 1 if it healed more than any other."""
    estimated_rank: int | None
    """By the estimates; None if there were none."""
    kl_light: float
    """The mean KL without the fault: what pruning lightly does."""
    kl: float
    """The mean KL with the fault."""
    healed: float
    """The mean KL with the sublayer given back."""

    @property
    def matters(self) -> bool:
        """Does the fault raise the KL by a tenth? A smaller one can't be told from what pruning lightly does."""
        return self.kl > 1.1 * self.kl_light


def plant_faults(
    twin: Twin,
    context: Sequence[int],
    *,
    plants: int = 24,
    positions: int = 16,
    seed: int = 0,
    work: Work = UNWATCHED,
) -> list[Plant]:
    """Plants one fault after another, of each kind in turn, in a twin that is pruned lightly, and takes each out again.
    Takes about half a pass over the context for each sublayer and plant."""
    light = twin.state
    try:
        return _planted(twin, context, plants, positions, seed, work)
    finally:
        twin.set_state(light)


def _planted(twin: Twin, context: Sequence[int], plants: int, positions: int, seed: int, work: Work) -> list[Plant]:
    light, chance = twin.state, random.Random(seed)
    sublayers = take_apart(twin.dense, twin.model)
    reference = Exchanges(sublayers, sublayers.dense, sublayers.pruned, context, positions).logits
    whole = Exchanges(sublayers, sublayers.pruned, sublayers.dense, context, positions).logits
    kl_light = float(mean_kl(reference, whole, 1.0))
    found = []
    for number in range(plants):
        work.report("Planting faults", number, plants, "faults")
        part, kind = chance.choice(sublayers.parts), KINDS[number % len(KINDS)]
        twin.set_state(light)
        damage(twin, part, kind, seed + number)
        pruned = Exchanges(sublayers, sublayers.pruned, sublayers.dense, context, positions)
        after: dict[Part, float] = {}
        for one in sublayers.parts:
            work.check("Planting faults")
            after[one] = float(mean_kl(reference, pruned.exchanged(one), 1.0))
        estimates = estimate_heals(sublayers, context, positions, reference=reference).heals
        rank = 1 + sum(after[one] < after[part] for one in sublayers.parts)
        estimated = 1 + sum(heal > estimates[part] for heal in estimates.values()) if estimates else None
        kl = float(mean_kl(reference, pruned.logits, 1.0))
        found.append(Plant(kind, part, rank, estimated, kl_light, kl, after[part]))
    return found


def damage(twin: Twin, part: Part, kind: str, seed: int) -> None:
    """Damages every matrix of a sublayer: pruned at 0.9 by magnitude, with noise as large as its weights, or zeroed."""
    made = torch.Generator().manual_seed(seed)
    for matrix in twin.anatomy.matrices:
        if Part(matrix.sublayer, matrix.layer) != part:
            continue
        weight = twin.weight(matrix.name)
        if kind == KINDS[0]:
            _prune(twin, matrix.name, 0.9)
        elif kind == KINDS[1]:
            noise = torch.randn(weight.shape, generator=made).to(weight) * weight.std()
            twin.replace(matrix.name, weight + noise)
        else:
            twin.mask(matrix.name, torch.zeros_like(weight, dtype=torch.bool))


def _prune(twin: Twin, name: str, ratio: float) -> None:
    """Removes this share of the smallest weights of every row."""
    weight = twin.dense_weight(name)
    twin.mask(name, keep_highest(weight.abs(), removed(ratio, weight.shape[1])))
