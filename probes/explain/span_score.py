"""Reduces what both models answer over a span to a mean KL and the steps at which their top tokens are the same."""

from __future__ import annotations

import math

from torch import Tensor

from probes.explain.search import Score
from probes.prune.fitted_text import FittedText
from probes.prune.single_weights import span_kl


def span_score(dense: Tensor, pruned: Tensor, fitted: FittedText) -> Score:
    """Of logits, (positions, vocabulary)."""
    here = pruned.to(dense.device)
    kl = float(span_kl(dense, here, fitted).mean())
    same = (dense.argmax(-1) == here.argmax(-1)).tolist()
    return Score(max(0.0, kl) if math.isfinite(kl) else math.inf, tuple(map(bool, same)))
