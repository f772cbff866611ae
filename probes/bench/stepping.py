"""Measures the time and the memory of stepping, compared with a bare loop of the two models."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from probes.bench.bare_loop import BareLoop
from probes.bench.overlaps import Opened
from probes.bench.resident import held_by_all
from probes.bench.rounds import in_turn
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work

_SPLIT_WITHIN = 48
"""Steps in which the texts usually diverge in `free`."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """The seconds of a step beside those of a bare loop, timed in turn, so that other load affects both alike."""

    follow: Follow
    overlap: str
    """How the two passes are computed: one after the other (none), in two threads, or in two processes."""
    threads: int
    """Those that the bare loop computes with, and both passes together."""
    steps: int
    """Steps in a round."""
    bare: tuple[float, ...]
    """The models one after the other, without any figure: the mean of each round."""
    measured: tuple[float, ...]
    """The same steps in lockstep, with every figure: the mean of each round."""
    modules: str = ""
    """Why the pruned model's modules run at every token; "" if its tokens are read by a recipe (`stepping.recipe`)."""
    memory: int = 0
    """Bytes of all processes together while stepping, shared ones counted once; 0 if the system does not say."""

    @property
    def bare_median(self) -> float:
        return statistics.median(self.bare)

    @property
    def measured_median(self) -> float:
        return statistics.median(self.measured)

    @property
    def ratio(self) -> float:
        """Measured over bare: the median over pairs of rounds that follow each other."""
        return statistics.median(b / a for a, b in zip(self.bare, self.measured, strict=True))


def step_costs(
    models: tuple[PreTrainedModel, PreTrainedModel],
    prompt_ids: Sequence[int],
    ways: Mapping[str, Opened],
    *,
    follow: Follow = Follow.DENSE,
    steps: int = 6,
    rounds: int = 5,
    seconds: float = math.inf,
    work: Work = UNWATCHED,
) -> list[StepCost]:
    """Times greedy steps in each way of computing them and in a bare loop, from one place, without the prefill.

    `follow` is `dense` or `free`. In `free` the place is the first step after the texts have diverged, if they do so
    soon: from there the pruned model reads the shared context too, which the bare loop does not. All is timed in turn,
    in so many rounds, or fewer if these took `seconds`; a first round is not counted. No token ends the text.
    """
    settings = RunSettings("", follow=follow, steps=_SPLIT_WITHIN + steps)
    path: list[StepRecord] = []
    with ExitStack() as stack:
        base = held_by_all()
        opened, memory = {}, {}
        for name, open_one in ways.items():
            before = held_by_all()
            opened[name] = lockstep = stack.enter_context(open_one(settings))
            if not path and follow is Follow.FREE:
                path = _until_split(lockstep)
            lockstep.seek(path)
            lockstep.step()
            memory[name] = base + held_by_all() - before
        bare = BareLoop(models, _contexts(prompt_ids, path))

        def stepping(lockstep: Lockstep) -> Callable[[], float]:
            def timed() -> float:
                lockstep.seek(path)
                lockstep.prefill()
                begun = time.perf_counter()
                for _ in range(steps):
                    lockstep.step()
                return time.perf_counter() - begun

            return timed

        shorts = {name: lockstep.models[1].short for name, lockstep in opened.items()}
        timers = {"": lambda: bare.timed(steps, shared=follow is not Follow.FREE)}
        timers |= {name: stepping(lockstep) for name, lockstep in opened.items()}
        times = in_turn(timers, rounds, seconds, work, f"Timing steps in {follow}")
    threads = torch.get_num_threads()
    means = {name: tuple(one / steps for one in found) for name, found in times.items()}
    modules = {
        name: "" if short.used else short.refused or "it is watched or exchanged" for name, short in shorts.items()
    }
    return [
        StepCost(follow, name, threads, steps, means[""], means[name], modules[name], memory[name]) for name in ways
    ]


def _until_split(lockstep: Lockstep) -> list[StepRecord]:
    """The steps up to the one after which the texts differ; none if they agree for long."""
    for _ in range(_SPLIT_WITHIN - 1):
        record = lockstep.step()
        if record.taken and record.taken_pruned and record.taken.token_id != record.taken_pruned.token_id:
            return list(lockstep.path)
    return []


def _contexts(prompt_ids: Sequence[int], path: Sequence[StepRecord]) -> tuple[list[int], list[int]]:
    """The dense and the pruned model's own context after these steps."""
    dense = [*prompt_ids, *(record.taken.token_id for record in path if record.taken)]
    pruned = [*prompt_ids, *(record.taken_pruned.token_id for record in path if record.taken_pruned)]
    return dense, pruned
