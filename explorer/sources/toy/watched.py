"""The watched groups of toy models, by their definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.sources.toy.models import ToyPair, ToyState, softmax
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.record import GroupFigures, Watched
from probes.schema.watch import WatchedForm, WatchedGroup, WatchedIds


def toy_watched_ids(pair: ToyPair, groups: Sequence[WatchedGroup]) -> tuple[WatchedIds, ...]:
    """The ids of watched groups. Raises `BadInput` for a token that toy models lack."""
    return tuple(WatchedIds(group.label, tuple(_id_of(pair, form) for form in group.forms)) for group in groups)


def toy_watched(groups: Sequence[WatchedIds], dense: ToyState, pruned: ToyState, temperature: float) -> Watched | None:
    """The figures of the groups; None if there are none."""
    if not groups:
        return None
    p, q = softmax(dense.z, temperature), softmax(pruned.z, temperature)
    sums = [[math.fsum(values[token] for token in group.ids) for group in groups] for values in (p, q)]
    masses = [math.fsum(values) for values in sums]
    shares, shares2 = ([value / mass for value in values] for values, mass in zip(sums, masses, strict=True))
    several = len(groups) > 1
    return Watched(
        groups=tuple(
            GroupFigures(
                label=group.label,
                tokens=group.ids,
                p=sums[0][place],
                q=sums[1][place],
                share_dense=shares[place],
                share_pruned=shares2[place],
                rank_dense=_rank(dense.z, group.ids),
                rank_pruned=_rank(pruned.z, group.ids),
            )
            for place, group in enumerate(groups)
        ),
        mass_dense=masses[0],
        mass_pruned=masses[1],
        kl=_kl(shares, shares2) if several else None,
        kl_reverse=_kl(shares2, shares) if several else None,
        cos=_cos(shares, shares2) if several else None,
    )


def _id_of(pair: ToyPair, form: WatchedForm) -> int:
    if isinstance(form, str) and form in pair.vocabulary:
        return pair.id_of(form)
    if isinstance(form, int) and form < len(pair.vocabulary):
        return form
    raise BadInput("Not one token", f"“{visible(str(form))}” is no token of toy models.")


def _rank(z: Sequence[float], ids: Sequence[int]) -> int:
    best = max(ids, key=lambda token: (z[token], -token))
    return 1 + sum((value, -token) > (z[best], -best) for token, value in enumerate(z))


def _kl(a: Sequence[float], b: Sequence[float]) -> float:
    return max(0.0, math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True)))


def _cos(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
