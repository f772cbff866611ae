"""Checks and times this program on a GPU: `python -m probes.bench.gpu`, or `phier bench gpu`.

It needs torch and transformers alone, takes less than four minutes, and prints one JSON object. A check that fails is
in the object with its error, and the rest goes on; the program then ends with 1, and without a GPU with 2.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from probes.bench.bandwidth import Bandwidth, measure_bandwidth
from probes.bench.bare_machine import stand_in_for_missing
from probes.bench.guarded import CheckResult, NotHere, free_memory, guarded
from probes.bench.random_models import Shape, random_model
from probes.bench.report import as_text, report
from probes.schema.errors import BadInput
from probes.system.user_folders import cache_folder

if TYPE_CHECKING:
    from probes.bench.gpu_ratios import GpuCost

SECONDS = 210.0
"""No further check is begun after these."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SMALL = Shape(512, 4, 32_000, 2_048)
SHAPES = {
    "1B": Shape(2_048, 16, 128_256, 4_096),
    "3B": Shape(3_072, 28, 128_256, 4_096),
    "8B": Shape(4_096, 38, 128_256, 4_096),
}
"""Random models of 1 to 8 billion parameters."""
_SPARE = 2.6
"""The memory that timing takes, in that of the weights: those of the thinned copy, its making, caches and figures."""
_GIB = 2**30
_CONTEXT = 24
"""Tokens of the contexts."""
Check = Callable[[PreTrainedModel, Sequence[int]], tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class GpuBench:
    """All that was checked and timed."""

    device: str
    name: str
    memory: int
    """Bytes of the GPU's memory; 0 of a CPU."""
    replaced: tuple[str, ...]
    """Packages that are not installed, and are not needed here."""
    bandwidth: Bandwidth | None
    checks: tuple[CheckResult, ...]
    costs: tuple[GpuCost, ...]

    @property
    def passed(self) -> bool:
        """Has no check failed?"""
        return all(one.status != "failed" for one in self.checks)


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """What is measured."""

    small: Shape = SMALL
    """Of the model that every dtype is checked with."""
    shapes: tuple[tuple[str, Shape], ...] = tuple(SHAPES.items())
    demo: Path | None = None
    """The folder of a real model, if there is one."""
    seconds: float = SECONDS
    steps: int = 16
    rounds: int = 5
    read: int = 4 * _GIB
    """Bytes of the tensor that is read."""


def bench_gpu(device: torch.device, plan: GpuPlan, say: Callable[[str], None] = lambda _: None) -> GpuBench:
    """Checks and times on this device. What fails is in the result; `say` hears a line on each check."""
    replaced = stand_in_for_missing()
    run = _Run(device, plan, say)
    run.measure_bandwidth()
    run.check_dtypes()
    run.check_shapes()
    gpu = device.type == "cuda"
    return GpuBench(
        device=str(device),
        name=torch.cuda.get_device_name(device) if gpu else "CPU",
        memory=torch.cuda.get_device_properties(device).total_memory if gpu else 0,
        replaced=replaced,
        bandwidth=run.bandwidth,
        checks=tuple(run.checks),
        costs=tuple(run.costs),
    )


class _Run:
    """The checks in their order, with their results so far."""

    def __init__(self, device: torch.device, plan: GpuPlan, say: Callable[[str], None]) -> None:
        self._device, self._plan, self._say = device, plan, say
        self._ends = time.monotonic() + plan.seconds
        self.bandwidth: Bandwidth | None = None
        self.checks: list[CheckResult] = []
        self.costs: list[GpuCost] = []

    def measure_bandwidth(self) -> None:
        def measured() -> tuple[float, float, str]:
            self.bandwidth = measure_bandwidth(self._device, size=self._plan.read)
            return self.bandwidth.fastest, math.inf, "bytes a second"

        self._check("bandwidth", str(self._device), measured)

    def check_dtypes(self) -> None:
        """The small models in every dtype, and what one of them is enough for."""
        from probes.bench.gpu_checks import CHECKS, ONCE

        for dtype in DTYPES:
            for of, make in _models(self._plan, self._device, dtype).items():
                random = of.startswith("random")
                once = ONCE if random and dtype is torch.bfloat16 else {}
                self._check_model(of, make, {**CHECKS, **once}, timed=dtype is torch.bfloat16)

    def check_shapes(self) -> None:
        """The large random models, each if it fits."""
        from probes.bench.gpu_checks import CHECKS

        few = {name: CHECKS[name] for name in ("exact copy", "cached and full pass", "captured graph", "graphed steps")}
        for label, shape in self._plan.shapes:
            make = partial(random_model, shape, device=self._device, dtype=torch.bfloat16)
            if _fits(shape, self._device):
                self._check_model(f"random {label} bfloat16", make, few, timed=True)
            else:
                self._check("made", f"random {label} bfloat16", partial(_no_room, self._device))

    def _check_model(
        self, of: str, make: Callable[[], PreTrainedModel], checks: Mapping[str, Check], *, timed: bool
    ) -> None:
        """Makes a model, checks it, and gives its memory back."""
        made: list[PreTrainedModel] = []

        def making() -> tuple[float, float, str]:
            made.append(make())
            return 0.0, 0.0, "seconds are those of making it"

        self._check("made", of, making)
        if not made:
            return
        (model,) = made
        ids = [(7 * place + 3) % int(model.config.vocab_size) for place in range(_CONTEXT)]
        for name, check in checks.items():
            self._check(name, of, partial(check, model, ids))
        if timed:
            self._check("times", of, partial(self._cost, of, model, ids))

    def _cost(self, of: str, model: PreTrainedModel, ids: Sequence[int]) -> tuple[float, float, str]:
        from probes.bench.gpu_ratios import gpu_cost

        if self.bandwidth is None:
            raise NotHere("the bandwidth was not measured")
        plan = self._plan
        found = gpu_cost(of, model, ids, self.bandwidth, steps=plan.steps, rounds=plan.rounds)
        self.costs.append(found)
        return found.to_bare, math.inf, "a step in that of two bare loops"

    def _check(self, name: str, of: str, check: Callable[[], tuple[float, float, str]]) -> None:
        free_memory()  # that of the check before
        self.checks.append(guarded(name, of, check, lambda: self._ends - time.monotonic()))
        latest = self.checks[-1]
        self._say(f"{of}: {name} {latest.status} ({latest.seconds:.1f} s) {latest.words}")


def _models(plan: GpuPlan, device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[], PreTrainedModel]]:
    """What is checked in this dtype, by name."""
    said = str(dtype).removeprefix("torch.")
    found: dict[str, Callable[[], PreTrainedModel]] = {
        f"random small {said}": partial(random_model, plan.small, device=device, dtype=dtype)
    }
    if plan.demo is not None:
        found[f"{plan.demo.name} {said}"] = partial(_loaded, plan.demo, device, dtype)
    return found


def _loaded(folder: Path, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    model: PreTrainedModel = loaded.to(device)  # whose type nothing fits
    model.requires_grad_(False).eval()
    return model


def _fits(shape: Shape, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    weights = sum(one.nbytes for one in random_model(shape, device="meta", dtype=torch.bfloat16).parameters())
    return _SPARE * weights < torch.cuda.mem_get_info(device)[0]


def _no_room(device: torch.device) -> tuple[float, float, str]:
    raise NotHere(f"{torch.cuda.mem_get_info(device)[0] / 1e9:.0f} GB are free, and it would not fit")


def demo_here() -> Path | None:
    """The folder of the demo model, if an earlier start of the program has left it in the user's cache."""
    try:
        cache = cache_folder()
    except ModuleNotFoundError:  # what says where that is, is not installed
        return None
    found = sorted(cache.glob("models/SmolLM2-135M-Instruct-float32-*/config.json"))
    return found[0].parent if found else None


def gpu_device(name: str) -> torch.device:
    """The device of this name; raises `BadInput` if it is none, or this machine has no such GPU."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise BadInput("Device", f"{name!r} can't be measured here.", "Use cuda, cuda:N or cpu.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(
            "No GPU",
            f"torch {torch.__version__} finds no {name} GPU on this machine, so nothing was measured.",
            "Run it where there is one; --device cpu tries the checks themselves out.",
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the object; returns 0 if no check failed, 1 if one did, and 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m probes.bench.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the checks out [default: cuda]")
    parser.add_argument("--model", type=Path, default=None, help="folder of a real model [default: the demo model]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="begin no check after these [default: 210]")
    parser.add_argument("--tiny", action="store_true", help="tiny models alone, to try the checks out")
    given = parser.parse_args(arguments)
    try:
        device = gpu_device(given.device)
    except BadInput as problem:
        print(f"{problem.title}: {problem.message} {problem.hint}", file=sys.stderr)  # noqa: T201 - no GPU
        return 2
    begun = time.monotonic()
    plan = gpu_plan(given.model, given.seconds, tiny=given.tiny)
    found = bench_gpu(device, plan, partial(print, file=sys.stderr))
    print(as_text(report("gpu", found, time.monotonic() - begun)))  # noqa: T201 - the program's output
    return 0 if found.passed else 1


def gpu_plan(demo: Path | None = None, seconds: float = SECONDS, *, tiny: bool = False) -> GpuPlan:
    """What is measured: random models and a real one if it is here; or tiny random models alone."""
    if tiny:
        shape = Shape(32, 2, 512, 128)
        return GpuPlan(shape, (("tiny", shape),), demo, seconds, steps=2, rounds=1, read=2**20)
    return GpuPlan(demo=demo or demo_here(), seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
