"""Heal and damage as rows: a row a sublayer, or a row a piece of one sublayer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.schema.explanation import Swap, Swaps
from probes.schema.part import Part


@dataclass(frozen=True, slots=True)
class HealRow:
    """A sublayer, or one of its pieces, in both directions."""

    part: Part
    piece: str
    heal: Swap | None
    damage: Swap | None

    @property
    def drop(self) -> float | None:
        """What healing it takes away from the KL; an estimate if that is all there is."""
        return self.heal.kl_drop if self.heal is not None else None

    @property
    def rise(self) -> float | None:
        """What the pruned one adds to the KL of the dense model."""
        return -self.damage.kl_drop if self.damage is not None else None


def heal_rows(found: Swaps, inside: Part | None = None, held: Sequence[Part] = ()) -> list[HealRow]:
    """The largest heal first, as the swaps have it, or in the order that is `held`; only the pieces of one sublayer if
    it is given."""
    rows: dict[tuple[Part, str], HealRow] = {}
    for swap in _of(found.heal, inside):
        rows[_key(swap)] = HealRow(*_key(swap), swap, None)
    for swap in _of(found.damage, inside):
        before = rows.get(_key(swap))
        rows[_key(swap)] = HealRow(*_key(swap), before.heal if before else None, swap)
    places = {part: place for place, part in enumerate(held)}
    return sorted(rows.values(), key=lambda row: places.get(row.part, len(places)))


def heals_by_part(*found: Swaps | None) -> dict[tuple[Part, str], Swap]:
    """Every heal by its sublayer, and the name of the matrix if it is one; "" is the whole sublayer."""
    return {_key(swap): swap for one in found if one is not None for swap in one.heal}


def _of(swaps: Sequence[Swap], inside: Part | None) -> list[Swap]:
    return [swap for swap in swaps if inside is None or (swap.sublayer, swap.layer) == (inside.kind, inside.layer)]


def _key(swap: Swap) -> tuple[Part, str]:
    return Part(swap.sublayer, swap.layer), swap.piece
