"""Samples tokens with shared randomness: both models use the same noise, so their choices differ only if their
distributions do.

The token is argmax(log-probability + Gumbel noise). A counter-based generator (Philox) keyed by (seed, step) draws the
noise. Equal distributions give equal tokens, and stepping back and forward gives the same tokens again.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from probes.schema.settings import Sampling


class Sampler:
    """Chooses one token from one model's logits at one step."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._warpers: list[LogitsProcessor] = []
        if not sampling.greedy:
            self._warpers.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_k:
                self._warpers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self._warpers.append(TopPLogitsWarper(sampling.top_p))
        self._drawn: tuple[int, int, Tensor] | None = None

    def choose(self, logits: Tensor, step: int) -> int:
        """The token id for logits (V,) at a step (1 and up); the same for equal logits, seed and step."""
        if self.sampling.greedy:
            return int(logits.max(0).indices)  # the first of equal logits, like argmax, in half the time
        scores = logits.float().unsqueeze(0)
        for warper in self._warpers:
            scores = warper(None, scores)  # none of the three uses the previous tokens
        warped = scores[0]
        return int((warped.log_softmax(0) + self._noise(step, warped.numel()).to(warped.device)).argmax())

    def _noise(self, step: int, size: int) -> Tensor:
        """Gumbel noise (V,) for a step, drawn once for both models."""
        if self._drawn is None or self._drawn[:2] != (step, size):
            self._drawn = (step, size, gumbel(self.sampling.seed, step, size))
        return self._drawn[2]


def gumbel(seed: int, step: int, size: int) -> Tensor:
    """Standard Gumbel noise (size,), float32: a pure function of (seed, step), the same on every device."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    return torch.from_numpy(-np.log(generator.standard_exponential(size))).float()
