"""One model's next-token distributions, in float64."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from probes.system.float64 import to_float64


class Distribution:
    """One model's next-token distributions at n positions: logits `z` and probabilities `p`, float64, (n, V)."""

    def __init__(self, logits: Tensor, temperature: float = 1.0) -> None:
        """`logits` (n, V) are finite, of any floating dtype, on any device; `temperature` is T > 0."""
        if logits.dim() != 2:
            raise ValueError(f"logits are (positions, tokens), not {tuple(logits.shape)}")
        self.temperature = temperature
        self.z = to_float64(logits)
        self.largest, self.first = self.z.max(-1, keepdim=True)
        """The largest logit, and the first token that has it: both (n, 1)."""
        self.p = self.below_largest().exp_()
        total = self.p.sum(-1, keepdim=True)
        self.p.mul_(1 / total)
        self.log_total = total.log()
        """log Σ exp((z - largest)/T), (n, 1), so that log p = (z - largest)/T - log_total."""

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, positions: slice) -> Distribution:
        """The distributions at some of the positions. They share the memory of this one."""
        return self._each(lambda tensor: tensor[positions])

    def expand(self, positions: int) -> Distribution:
        """Repeats the distribution at a single position, without taking memory."""
        return self._each(lambda tensor: tensor.expand(positions, -1))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Distribution:
        changed = copy(self)
        for name in ("z", "p", "largest", "first", "log_total"):
            setattr(changed, name, change(getattr(self, name)))
        return changed

    def below_largest(self, out: Tensor | None = None) -> Tensor:
        """(z - largest)/T, (n, V)."""
        below = torch.sub(self.z, self.largest, out=out)
        return below if self.temperature == 1 else below.mul_(1 / self.temperature)

    @property
    def tied(self) -> bool:
        """Do several tokens of the first position have its largest logit? Greedy decoding then takes the first."""
        return int((self.z[0] == self.largest[0]).sum()) > 1

    def at(self, token_id: int) -> float:
        """The probability of a token at the first position."""
        return float(self.p[0, token_id])

    def log_at(self, token_id: int) -> float:
        """The logarithm of a token's probability at the first position, in nats.

        It is finite even if the probability itself underflows to 0.
        """
        return float((self.z[0, token_id] - self.largest[0, 0]) / self.temperature - self.log_total[0, 0])
