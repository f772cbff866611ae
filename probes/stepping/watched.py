"""The watched groups at one position: their probabilities in both models, and the two distributions over them.

With p_i the sum over the tokens of group i: m = Σ p_i and p̂_i = p_i / m, and likewise q̂ of the pruned model. All of it
is taken from the logarithms, so p̂ is defined and its KL finite even where every p_i underflows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from probes.schema.record import GroupFigures, Watched
from probes.schema.watch import WatchedIds
from probes.stepping.distribution import Distribution


def logits_at(ids: Sequence[int], dense: Distribution, pruned: Distribution) -> list[Tensor]:
    """Both models' logits of these tokens, (n, ids) each; nothing if there are none."""
    return [values.z[:, list(ids)] for values in (dense, pruned)] if ids else []


@dataclass(frozen=True, slots=True)
class WatchedLogits:
    """The watched groups with both models' logits of their tokens at one position, on the host."""

    groups: Sequence[WatchedIds]
    dense: Mapping[int, float]
    """z of each token, by id."""
    pruned: Mapping[int, float]

    @classmethod
    def read(cls, groups: Sequence[WatchedIds], logits: Sequence[float]) -> WatchedLogits:
        """`logits` are a row of `logits_at`: those of the dense model, then those of the pruned one."""
        ids = [token for group in groups for token in group.ids]
        return cls(
            groups,
            dict(zip(ids, logits[: len(ids)], strict=True)),
            dict(zip(ids, logits[len(ids) :], strict=True)),
        )

    @property
    def likeliest(self) -> tuple[list[int], list[int]]:
        """Each group's likeliest token, in the dense and in the pruned model; of equal ones the smaller id."""
        return _likeliest(self.groups, self.dense), _likeliest(self.groups, self.pruned)

    def figures(
        self,
        sums: Mapping[str, float],
        temperature: float,
        ranks_dense: Mapping[int, int],
        ranks_pruned: Mapping[int, int],
    ) -> Watched:
        """All figures of the groups. `sums` has each model's largest logit and log total (`sums.measure`); the ranks
        are those of `likeliest`, by id."""
        logs = _log_sums(self.groups, self.dense, temperature, sums["p.largest"], sums["p.log_total"])
        logs2 = _log_sums(self.groups, self.pruned, temperature, sums["q.largest"], sums["q.log_total"])
        log_mass, log_mass2 = _log_of_sum(logs), _log_of_sum(logs2)
        inside, inside2 = [log - log_mass for log in logs], [log - log_mass2 for log in logs2]
        shares, shares2 = list(map(math.exp, inside)), list(map(math.exp, inside2))
        best, best2 = self.likeliest
        several = len(logs) > 1
        return Watched(
            groups=tuple(
                GroupFigures(
                    label=group.label,
                    tokens=group.ids,
                    p=math.exp(logs[place]),
                    q=math.exp(logs2[place]),
                    share_dense=shares[place],
                    share_pruned=shares2[place],
                    rank_dense=ranks_dense[best[place]],
                    rank_pruned=ranks_pruned[best2[place]],
                )
                for place, group in enumerate(self.groups)
            ),
            mass_dense=math.exp(log_mass),
            mass_pruned=math.exp(log_mass2),
            kl=_divergence(shares, inside, inside2) if several else None,
            kl_reverse=_divergence(shares2, inside2, inside) if several else None,
            cos=_cosine(shares, shares2) if several else None,
        )


def _likeliest(groups: Sequence[WatchedIds], logits: Mapping[int, float]) -> list[int]:
    return [max(group.ids, key=lambda token: (logits[token], -token)) for group in groups]


def _log_sums(
    groups: Sequence[WatchedIds], logits: Mapping[int, float], temperature: float, largest: float, log_total: float
) -> list[float]:
    """The logarithm of each group's probability."""
    return [
        _log_of_sum([(logits[token] - largest) / temperature - log_total for token in group.ids]) for group in groups
    ]


def _log_of_sum(logs: Sequence[float]) -> float:
    """log Σ exp."""
    most = max(logs)
    return most + math.log(math.fsum(math.exp(log - most) for log in logs))


def _divergence(shares: Sequence[float], logs: Sequence[float], other: Sequence[float]) -> float:
    """Σ p̂ (log p̂ - log q̂); rounding can't make it negative."""
    return max(0.0, math.fsum(share * (a - b) for share, a, b in zip(shares, logs, other, strict=True)))


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """1 - ‖u - u'‖²/2 of the unit vectors, exactly 1 for equal ones; neither can be 0."""
    length, length2 = math.hypot(*a), math.hypot(*b)
    return 1 - math.fsum((x / length - y / length2) ** 2 for x, y in zip(a, b, strict=True)) / 2
