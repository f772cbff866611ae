"""Finds the n-th lowest of all matrices' scores exactly, with the scores of one matrix in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.prune.criteria import removed

_LOW = 15
"""The low bits of a score, which the second count sorts by; the first sorts by the 16 bits above, with sign bit 0."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The pruning threshold, and how many ties to remove from each matrix."""

    score: float
    tied: Mapping[str, int]

    def keep(self, name: str, scores: Tensor) -> Tensor:
        """The mask of one matrix; of equal scores, the first ones in row order are removed."""
        keep = scores > self.score
        ties = (scores == self.score).flatten().nonzero().flatten()[self.tied[name] :]
        keep.view(-1)[ties] = True
        return keep


def global_threshold(scores: Mapping[str, Callable[[], Tensor]], ratio: float) -> Threshold:
    """The threshold that removes ⌊ratio · number⌋ scores. Scores are float32 and not negative; each is computed twice.

    Floats that are not negative sort like their bits. Counting by the upper bits, then by the lower bits within one
    upper value, finds the threshold without sorting.
    """
    upper, count = torch.zeros(1 << 16, dtype=torch.int64), 0
    for score in scores.values():
        bits = _bits(score())
        count += bits.numel()
        upper += torch.bincount(bits >> _LOW, minlength=1 << 16)
    gone = removed(ratio, count)
    if gone == 0:
        return Threshold(-1.0, dict.fromkeys(scores, 0))
    prefix, before = _nth(upper, gone)
    lower = {}
    for name, score in scores.items():
        bits = _bits(score())
        lower[name] = torch.bincount(bits[bits >> _LOW == prefix] & ((1 << _LOW) - 1), minlength=1 << _LOW)
    total = torch.stack(list(lower.values())).sum(0)
    suffix, within = _nth(total, gone - before)
    left = gone - before - within
    tied = {}
    for name, counts in lower.items():
        tied[name] = min(left, int(counts[suffix]))
        left -= tied[name]
    bound = torch.tensor([prefix << _LOW | suffix], dtype=torch.int32).view(torch.float32)
    return Threshold(float(bound), tied)


def _bits(scores: Tensor) -> Tensor:
    return scores.contiguous().view(torch.int32).flatten().cpu()


def _nth(counts: Tensor, number: int) -> tuple[int, int]:
    """The class of the `number`-th score, counted from 1, and the number of scores in earlier classes."""
    running = counts.cumsum(0)
    place = int(torch.searchsorted(running, number))
    return place, int(running[place] - counts[place])
