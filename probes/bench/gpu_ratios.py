"""What a step costs on a GPU, in units of a bare loop, of one captured graph, and of the memory's own limit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from probes.bench.bandwidth import Bandwidth, synchronise, weights_read
from probes.bench.bare_loop import BareLoop
from probes.bench.gpu_checks import thinned
from probes.bench.guarded import NotHere, error_words
from probes.bench.random_models import Numbers
from probes.bench.rounds import in_turn
from probes.bench.static_decoder import StaticDecoder
from probes.schema.settings import Follow, RunSettings
from probes.stepping.graphed_model import GraphedModel, graphed
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED

BARE, STATIC, GRAPH, GRAPHED = "bare", "static", "graph", "graphed"


@dataclass(frozen=True, slots=True)
class GpuCost:
    """Seconds of a step of a model and its thinned copy: medians of rounds that were taken in turn."""

    model: str
    parameters: int
    """Of one of the two."""
    dtype: str
    steps: int
    rounds: int
    bare: float
    """Two bare loops, one after the other, in eager mode."""
    dense: float
    """In lockstep with all figures, on the dense context."""
    free: float
    """In lockstep, each model on its own text: the second one reads two."""
    static: float | None
    """Both passes with static caches, in eager mode; None for models whose caches can't be static."""
    graph: float | None
    """Both passes and the choice of both tokens in one captured graph; None if none was captured."""
    graphed: float | None
    """As `dense`, each pass from a captured graph (`--overlap graphs`); None if none was captured."""
    floor: float
    """The bytes of weights that both read, over the measured bandwidth."""
    memory: int | None
    """The most bytes on the GPU during the rounds; None on a CPU."""
    graph_error: str = ""
    """Why there is none."""

    @property
    def to_bare(self) -> float:
        return self.dense / self.bare

    @property
    def free_to_bare(self) -> float:
        return self.free / self.bare

    @property
    def to_graph(self) -> float | None:
        return self.dense / self.graph if self.graph else None

    @property
    def to_floor(self) -> float:
        return self.dense / self.floor

    @property
    def bare_to_floor(self) -> float:
        return self.bare / self.floor


def gpu_cost(
    name: str,
    model: PreTrainedModel,
    ids: Sequence[int],
    bandwidth: Bandwidth,
    *,
    steps: int = 16,
    rounds: int = 5,
    seconds: float = 20.0,
) -> GpuCost:
    """Times a model and its thinned copy after one context. No further round is begun after so many seconds."""
    device = next(model.parameters()).device
    models = model, thinned(model)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with ExitStack() as stack:
        timers: dict[str, Callable[[], float]] = {}
        bare = BareLoop(models, [ids, ids])
        timers[BARE] = lambda: bare.timed(steps, shared=True)
        for follow in (Follow.DENSE, Follow.FREE):
            settings = RunSettings("", follow=follow, steps=steps)
            lockstep = stack.enter_context(Lockstep(*models, Numbers(), ids, settings))
            timers[follow] = _stepping(lockstep, steps, device)
        pair: Sequence[GraphedModel] = ()
        graph_error = ""
        try:
            timers[STATIC] = _static(models, ids, steps, device, capture=False)
            timers[GRAPH] = _static(models, ids, steps, device, capture=True)
            settings = RunSettings("", follow=Follow.DENSE, steps=steps)
            pair = graphed(*models)
            lockstep = stack.enter_context(Lockstep(*pair, Numbers(), ids, settings))
            timers[GRAPHED] = _stepping(lockstep, steps, device)
        except Exception as problem:  # noqa: BLE001 - reported beside the other times
            graph_error = error_words(problem)
        times = in_turn(timers, rounds, seconds, UNWATCHED, "")
    each = {way: statistics.median(found) / steps for way, found in times.items()}
    return GpuCost(
        model=name,
        parameters=sum(one.numel() for one in {id(one): one for one in model.parameters()}.values()),
        dtype=str(model.dtype).removeprefix("torch."),
        steps=steps,
        rounds=len(times[BARE]),
        bare=each[BARE],
        dense=each[Follow.DENSE],
        free=each[Follow.FREE],
        static=each.get(STATIC),
        graph=each.get(GRAPH),
        graphed=each.get(GRAPHED) if all(not one.refused for one in pair) else None,
        floor=sum(weights_read(one) for one in models) / bandwidth.fastest,
        memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        graph_error=graph_error or next((one.refused for one in pair if one.refused), ""),
    )


def _stepping(lockstep: Lockstep, steps: int, device: torch.device) -> Callable[[], float]:
    def begin() -> None:
        lockstep.seek(())
        lockstep.prefill()

    return _timed(begin, lockstep.step, steps, device)


def _static(
    models: Sequence[PreTrainedModel], ids: Sequence[int], steps: int, device: torch.device, *, capture: bool
) -> Callable[[], float]:
    """Seconds of steps with static caches; raises `NotHere` if they are to be captured where no graph can be."""
    if capture and device.type != "cuda":
        raise NotHere("CUDA graphs need a CUDA GPU")
    decoder = StaticDecoder(models, [ids] * len(models), steps)
    if capture:
        decoder.capture()

    return _timed(decoder.reset, decoder.step, steps, device)


def _timed(
    begin: Callable[[], None], step: Callable[[], object], steps: int, device: torch.device
) -> Callable[[], float]:
    def timed() -> float:
        begin()
        synchronise(device)
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - begun

    return timed
