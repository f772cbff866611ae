"""How the time of a step, of a prefill and of the comparison grows with the size of the models and of the context."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from probes.bench.bandwidth import synchronise, weights_read
from probes.bench.power_fit import GrowthCurve, measure_curve
from probes.bench.random_models import Numbers, Shape, random_model
from probes.schema.settings import RunSettings
from probes.stepping.cached_model import CachedModel
from probes.stepping.distribution import Distribution
from probes.stepping.lockstep import Lockstep
from probes.stepping.spaces import compare
from probes.system.progress import UNWATCHED, Work

STEP, PREFILL, COMPARISON = "step", "prefill", "comparison"
SQUARE = 2.0
"""The exponent of attention in the tokens of a prefill."""


@dataclass(frozen=True, slots=True)
class GrowthSizes:
    """The sizes that are measured along each axis; the other sizes stay as in `base`."""

    base: Shape
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    vocabularies: tuple[int, ...]
    contexts: tuple[int, ...]
    hidden: tuple[int, ...]
    """Widths of the states that are compared, without a model."""
    rounds: int = 5
    steps: int = 4
    """Steps in a round."""


SIZES = GrowthSizes(
    base=Shape(256, 4, 4_096),
    widths=(256, 512, 1_024, 2_048),
    depths=(2, 4, 8, 16, 32),
    vocabularies=(8_192, 16_384, 32_768, 65_536, 131_072),
    contexts=(256, 512, 1_024, 2_048, 4_096),
    hidden=(1_024, 4_096, 16_384, 65_536),
)
"""What takes a minute or two on two cores."""
_CONTEXT = 32
"""Tokens before the steps whose models grow."""


def model_growth(sizes: GrowthSizes = SIZES, work: Work = UNWATCHED) -> Iterator[GrowthCurve]:
    """The curves over the size of the models and of the context, one after the other, each with models of its own."""
    base = sizes.base
    shapes = {width: Shape(width, base.depth, base.vocabulary) for width in sizes.widths}
    yield _step_curve("bytes of weights (width)", shapes.values(), sizes, work, by_weights=True)
    shapes = {depth: Shape(base.width, depth, base.vocabulary) for depth in sizes.depths}
    yield _step_curve("layers", shapes.values(), sizes, work)
    shapes = {count: Shape(base.width // 4, 2, count) for count in sizes.vocabularies}
    yield _step_curve("vocabulary", shapes.values(), sizes, work)
    yield from _context_curves(sizes, work)
    timers: dict[float, Callable[[], float]] = {count: _comparing(base.width, count) for count in sizes.vocabularies}
    yield measure_curve(COMPARISON, "vocabulary", timers, rounds=sizes.rounds, work=work)
    timers = {width: _comparing(width, base.vocabulary) for width in sizes.hidden}
    yield measure_curve(COMPARISON, "hidden width", timers, rounds=sizes.rounds, work=work)


def _step_curve(
    over: str, shapes: Iterable[Shape], sizes: GrowthSizes, work: Work, *, by_weights: bool = False
) -> GrowthCurve:
    """Steps of two random models of each shape, after a short context."""
    timers: dict[float, Callable[[], float]] = {}
    with ExitStack() as stack:
        for shape in shapes:
            models = random_model(shape, 0), random_model(shape, 1)
            lockstep = Lockstep(*models, Numbers(), _ids(_CONTEXT, shape), RunSettings("", steps=sizes.steps))
            stack.enter_context(lockstep)
            axis = {"layers": shape.depth, "vocabulary": shape.vocabulary}.get(over, 0)
            timers[weights_read(models[0]) if by_weights else axis] = _stepping(lockstep, sizes.steps)
        return measure_curve(STEP, over, timers, rounds=sizes.rounds, work=work)


def _context_curves(sizes: GrowthSizes, work: Work) -> Iterator[GrowthCurve]:
    """Steps after contexts of each length, and reading such a context."""
    base, longest = sizes.base, max(sizes.contexts) + sizes.steps + 1
    shape = Shape(base.width // 2, base.depth, base.vocabulary, longest)
    models = random_model(shape, 0), random_model(shape, 1)
    stepping: dict[float, Callable[[], float]] = {}
    reading: dict[float, Callable[[], float]] = {}
    with ExitStack() as stack:
        for length in sizes.contexts:
            ids = _ids(length, shape)
            lockstep = stack.enter_context(Lockstep(*models, Numbers(), ids, RunSettings("", steps=sizes.steps)))
            stepping[length] = _stepping(lockstep, sizes.steps)
            reading[length] = _reading(CachedModel(models[0]), ids)
        yield measure_curve(STEP, "tokens of context", stepping, rounds=sizes.rounds, work=work)
    yield measure_curve(PREFILL, "tokens of context", reading, rounds=sizes.rounds, limit=SQUARE, work=work)


def _ids(length: int, shape: Shape) -> list[int]:
    return [(7 * place + 3) % shape.vocabulary for place in range(length)]


def _stepping(lockstep: Lockstep, steps: int) -> Callable[[], float]:
    """Seconds of a step from the prompt on, without the prefill."""

    def timed() -> float:
        lockstep.seek(())
        lockstep.prefill()
        begun = time.perf_counter()
        for _ in range(steps):
            lockstep.step()
        return (time.perf_counter() - begun) / steps

    return timed


def _reading(cached: CachedModel, ids: Sequence[int]) -> Callable[[], float]:
    """Seconds of reading a whole context."""

    def timed() -> float:
        cached.forget()
        begun = time.perf_counter()
        cached.read([ids])
        cached.join()
        synchronise(cached.device)
        seconds = time.perf_counter() - begun
        cached.forget()
        return seconds

    return timed


def _comparing(width: int, vocabulary: int) -> Callable[[], float]:
    """Seconds of comparing two outputs in the three spaces, from their logits on."""
    numbers = torch.Generator().manual_seed(0)
    h, h2 = (torch.randn(1, width, generator=numbers) for _ in range(2))
    z, z2 = (torch.randn(1, vocabulary, generator=numbers) for _ in range(2))

    @torch.inference_mode()
    def timed() -> float:
        begun = time.perf_counter()
        compare(h, h2, Distribution(z), Distribution(z2))
        return time.perf_counter() - begun

    return timed
