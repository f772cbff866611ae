"""Rankings of documents by similarity: ranks, Kendall's tau-b, and the documents that moved."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence

MOVED = 5
"""How many documents are named that moved most."""


def ranks(similarities: Sequence[float]) -> list[int]:
    """The rank of each document, from 1; of equal similarities the first document comes first. -inf comes last."""
    order = sorted(range(len(similarities)), key=lambda place: (-similarities[place], place))
    found = [0] * len(order)
    for rank, place in enumerate(order, 1):
        found[place] = rank
    return found


def kendall_tau_b(a: Sequence[float], b: Sequence[float]) -> float | None:
    """(P - Q) / √((P + Q + A)(P + Q + B)) with P pairs that both order alike, Q that they order in opposite ways, A
    that are equal in b alone, B in a alone. Exact but for the last division; None if a or b is constant.

    It takes O(n log n) comparisons: pairs are sorted by a, and each is looked up among the b before it.
    """
    pairs = sorted(zip(a, b, strict=True))
    before: list[float] = []
    opposite = 0
    for place, (_, value) in enumerate(pairs):
        opposite += place - bisect_right(before, value)  # of equal a, b rises, so such a pair is never counted
        insort(before, value)
    every = math.comb(len(pairs), 2)
    equal_a, equal_b, equal_both = _equal_pairs(a), _equal_pairs(b), _equal_pairs(pairs)
    unequal = (every - equal_a) * (every - equal_b)
    if not unequal:
        return None
    return (every - equal_a - equal_b + equal_both - 2 * opposite) / math.sqrt(unequal)


def moved(ids: Sequence[str], before: Sequence[int], after: Sequence[int]) -> tuple[tuple[str, int, int], ...]:
    """The documents whose rank changed most, with both ranks; of equal changes, the better rank before comes first."""
    changed = [row for row in zip(ids, before, after, strict=True) if row[1] != row[2]]
    return tuple(sorted(changed, key=lambda row: (-abs(row[2] - row[1]), row[1]))[:MOVED])


def _equal_pairs(values: Iterable[object]) -> int:
    return sum(math.comb(count, 2) for count in Counter(values).values())
