"""Divides the time of a step between its parts, and each part's between torch's operators and the Python around them.

Every moment of a step belongs to the innermost part that has begun, so the parts sum to the step. The operators are
measured in further steps under torch's profiler, which slows down the Python around them more than the operators
themselves; what they leave of a part's own time is reported as Python and what is not attributed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel

from probes.models.hooks import Forward, replacing_forward
from probes.schema.record import Comparison
from probes.schema.settings import Follow, RunSettings
from probes.stepping.cached_model import NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.lockstep import Lockstep, Tokens
from probes.system.progress import UNWATCHED, Work
from probes.twin.anatomy import dissect

ATTENTION, MLP, HEAD = "attention", "MLP", "LM head"
PASSES = "rest of the passes"
"""Norms, embedding, masks, additions, and the Python of the blocks and of the cache."""
SOFTMAX, COMPARISON, RECORD = "distributions", "comparison", "record"
PARTS = (ATTENTION, MLP, HEAD, PASSES, SOFTMAX, COMPARISON, RECORD)
"""The distributions are of both models, in float64; the record has the choice of tokens, their text and the sums."""
_COPIES = frozenset(("aten::copy_", "aten::clone", "aten::cat", "aten::_to_copy", "aten::index_copy_"))
_MARK = "phier: "
_TRACED = 4
"""The most steps under torch's profiler, which takes long to read what it has written."""


@dataclass(frozen=True, slots=True)
class PartTime:
    """The time of one part of a step, in seconds: a mean over steps."""

    part: str
    seconds: float
    share: float
    """Of the step, in [0, 1]."""
    operators: float
    """Seconds in torch's operators, measured under the profiler and at most all of the part."""
    copies: float
    """Seconds of these in operators that only copy, as the growing KV cache does."""

    @property
    def python(self) -> float:
        """Seconds outside the operators: Python, and what is not attributed."""
        return self.seconds - self.operators


@dataclass(frozen=True, slots=True)
class StepProfile:
    """Where the time of a step goes, with both passes one after the other."""

    steps: int
    threads: int
    parts: tuple[PartTime, ...]
    unwatched: float
    """Seconds of a step without any measurement inside it."""

    @property
    def seconds(self) -> float:
        """Of a step: the sum of its parts."""
        return sum(one.seconds for one in self.parts)


class PartClock:
    """Divides time between parts: the clock of the innermost one that has begun runs, and those around it rest."""

    def __init__(self, now: Callable[[], float] = time.perf_counter, *, marking: bool = False) -> None:
        """With `marking`, each part is also a range of torch's profiler."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._now, self._marking = now, marking
        self._open: list[str] = []
        self._latest = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is a piece of this part."""
        marked: AbstractContextManager[Any] = record_function(_MARK + name) if self._marking else nullcontext()
        with marked:
            self._change()
            self._open.append(name)
            try:
                yield
            finally:
                self._change()
                self._open.pop()

    def _change(self) -> None:
        now = self._now()
        if self._open:
            self.seconds[self._open[-1]] += now - self._latest
        self._latest = now


def profile_steps(
    models: tuple[PreTrainedModel, PreTrainedModel],
    tokens: Tokens,
    prompt_ids: Sequence[int],
    *,
    steps: int = 16,
    follow: Follow = Follow.DENSE,
    work: Work = UNWATCHED,
) -> StepProfile:
    """Steps on from one prompt three times: without any measurement, with the parts' clock, and under the profiler."""
    settings = RunSettings("", follow=follow, steps=steps + 2)

    def run(clock: PartClock | None, steps: int = steps) -> float:
        watched = nullcontext() if clock is None else _watching(models, clock)
        lockstep: Lockstep
        if clock is None:
            lockstep = Lockstep(*models, tokens, prompt_ids, settings)
        else:
            lockstep = _Profiled(clock, *models, tokens, prompt_ids, settings)
        with lockstep, watched:
            lockstep.prefill()
            lockstep.step()
            if clock is not None:
                clock.seconds.clear()
            begun = time.perf_counter()
            for _ in range(steps):
                lockstep.step()
            return (time.perf_counter() - begun) / steps

    clock = PartClock()
    unwatched = []
    for number, way in enumerate((None, clock, None)):
        work.report("Profiling steps", number, 4, "runs")
        taken = run(way)
        if way is None:
            unwatched.append(taken)
    work.report("Profiling steps", 3, 4, "runs")
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as traced:
        run(PartClock(marking=True), min(steps, _TRACED))
    inside, copies, traced_steps = _operators(traced.events() or ())
    total = sum(clock.seconds.values())
    parts = []
    for part in PARTS:
        seconds = clock.seconds[part] / steps
        operators = min(seconds, inside[part] / traced_steps)
        parts.append(
            PartTime(part, seconds, clock.seconds[part] / total, operators, min(operators, copies[part] / traced_steps))
        )
    return StepProfile(steps, torch.get_num_threads(), tuple(parts), min(unwatched))


class _Profiled(Lockstep):
    """A lockstep whose parts are clocked."""

    def __init__(self, clock: PartClock, *given: Any) -> None:
        self._clock = clock
        super().__init__(*given)

    def step(self, *, dense: int | None = None, pruned: int | None = None) -> Any:
        with self._clock.part(RECORD):
            return super().step(dense=dense, pruned=pruned)

    def _read(self, work: Work = UNWATCHED) -> tuple[NextTokenOutput | None, NextTokenOutput]:
        with self._clock.part(PASSES):
            return super()._read(work)

    def _distributions(self, output: NextTokenOutput | None, rows: int | None) -> Distribution | None:
        with self._clock.part(SOFTMAX):
            return super()._distributions(output, rows)

    def _compare(self, *given: Any) -> tuple[Comparison | None, Comparison | None]:
        with self._clock.part(COMPARISON):
            return super()._compare(*given)


@contextmanager
def _watching(models: Sequence[PreTrainedModel], clock: PartClock) -> Iterator[None]:
    """Clocks the sublayers and the heads in its block."""
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(replacing_forward(model, _clocked(model, clock)))
        yield


def _clocked(model: PreTrainedModel, clock: PartClock) -> Mapping[str, Callable[[Forward], Forward]]:
    """Each sublayer and the head by path, with what puts a clock around its forward method."""
    anatomy = dissect(model)

    def around(part: str) -> Callable[[Forward], Forward]:
        def made(forward: Forward) -> Forward:
            def clocked(*args: object, **kwargs: object) -> object:
                with clock.part(part):
                    return forward(*args, **kwargs)

            return clocked

        return made

    found = {anatomy.head: around(HEAD)}
    for block in anatomy.blocks:
        for part, sublayer in ((ATTENTION, block.attn), (MLP, block.mlp)):
            if sublayer is not None:
                found |= {path: around(part) for path in sublayer.modules}
    return found


def _operators(events: Sequence[Any]) -> tuple[Mapping[str, float], Mapping[str, float], int]:
    """Seconds in operators, and in those that copy, by part, and the steps these are the sums of."""
    inside: dict[str, float] = defaultdict(float)
    copies: dict[str, float] = defaultdict(float)
    for event in events:
        if not event.name.startswith("aten::"):
            continue
        above = list(_above(event))
        part = next((name.removeprefix(_MARK) for name in above if name.startswith(_MARK)), None)
        if part is None:
            continue
        seconds = event.time_range.elapsed_us() / 1e6
        if not any(name.startswith("aten::") for name in above):
            inside[part] += seconds
        if event.name in _COPIES and not any(name in _COPIES for name in above):
            copies[part] += seconds
    steps = sum(event.name == _MARK + RECORD for event in events)
    return inside, copies, max(1, steps)


def _above(event: Any) -> Iterator[str]:
    """The names of what an event happened in, from the inside."""
    while (event := event.cpu_parent) is not None:
        yield str(event.name)
