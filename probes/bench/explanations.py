"""Times what explains a token, in decoding steps of both models and in forward passes over the context."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from probes.bench.estimate_memory import EstimateMemory, estimate_memory
from probes.explain.estimate import estimate_heals
from probes.explain.layers import measure_layers
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges, answer
from probes.models.devices import input_device
from probes.stepping.cached_model import CachedModel
from probes.system.progress import UNWATCHED, Work

STEP, HALF_PASS = "decoding step", "half forward pass"
_MOST = 2048
"""Tokens that a context may have at most, so that a bench of a small model stays one."""


@dataclass(frozen=True, slots=True)
class ExplainCost:
    """The seconds of one part of an explanation, and of its unit, timed in turn so that other load affects both."""

    what: str
    seconds: tuple[float, ...]
    """Of each round."""
    per: str
    """`STEP` or `HALF_PASS`."""
    units: tuple[float, ...]
    """The unit's, of each round."""
    limit: float | None

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return statistics.median(a / b for a, b in zip(self.seconds, self.units, strict=True))


@dataclass(frozen=True, slots=True)
class ExplainCosts:
    """What explaining a token costs."""

    times: tuple[ExplainCost, ...]
    memory: EstimateMemory
    """Of the estimate."""


def explain_costs(
    dense: PreTrainedModel,
    pruned: PreTrainedModel,
    prompt_ids: Sequence[int],
    *,
    tokens: int = 64,
    rounds: int = 5,
    work: Work = UNWATCHED,
) -> ExplainCosts:
    """Times the layers at a new position, the estimate of all heals, and the exact heal of every sublayer, on a context
    of this many tokens: the prompt, repeated until it is long enough. A first round is not counted. Counts the memory
    of the estimate.

    A decoding step is one token of both models, read with their caches. The sublayers are taken apart before, once for
    a pair.
    """
    tokens = min(tokens, _MOST)
    context = (list(prompt_ids) * (1 + tokens // len(prompt_ids)))[:tokens]
    sublayers = take_apart(dense, pruned)
    models = CachedModel(dense), CachedModel(pruned)
    ids = torch.tensor([context], device=input_device(pruned))

    count = len(sublayers.parts)

    def check() -> None:
        work.check("Timing explanations")

    def step() -> None:
        """One token after the context, whose tokens the caches hold."""
        for model in models:
            output = model.read([context])
            model.join()
            float(output.logits[0, 0])

    def layers() -> None:
        measure_layers(*models, context, sublayers)

    def estimate() -> None:
        estimate_heals(sublayers, context)

    def one_pass() -> None:
        with torch.no_grad():
            float(answer(pruned, ids, 1)[0, 0])

    def heals() -> None:
        exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, context, 1)
        for start in range(0, count, exchanges.together):
            for logits in exchanges.each(sublayers.parts[start : start + exchanges.together], check):
                float(logits[0, 0])

    tasks: list[tuple[str, Callable[[], None], str, Callable[[], None], float, int, float | None]] = [
        ("layers at a new position", layers, STEP, step, 1.0, rounds, 4.0),
        ("estimate of all heals", estimate, STEP, step, 1.0, rounds, 8.0),
        (f"exact heals of all {count}", heals, HALF_PASS, one_pass, 0.5, min(rounds, 2), float(count)),
    ]
    found = []
    for number, (what, task, per, unit, share, times, limit) in enumerate(tasks):
        work.report("Timing explanations", number, len(tasks), "costs")
        pairs = []
        for _ in range(times + 1):
            work.check("Timing explanations")
            before = _timed(unit)
            seconds = _timed(task)
            pairs.append((seconds, share * (before + _timed(unit)) / 2))
        kept = pairs[1:]
        found.append(ExplainCost(what, tuple(a for a, _ in kept), per, tuple(b for _, b in kept), limit))
    return ExplainCosts(tuple(found), estimate_memory(sublayers, context))


def _timed(task: Callable[[], None]) -> float:
    begun = time.perf_counter()
    task()
    return time.perf_counter() - begun
