"""Measures the bytes that a step keeps, and those that both KV caches need.

`python -m probes.bench.step_memory VOCABULARY STEPS` measures them in this process, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from itertools import islice

import torch

from probes.bench.alone import alone
from probes.bench.random_models import Numbers, Shape, random_model
from probes.bench.resident import kept
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep


@dataclass(frozen=True, slots=True)
class Growth:
    """The bytes that each step of a run adds to the process."""

    vocabulary: int
    steps: int
    resident: float
    """The growth of the memory in use."""
    caches: float
    """The growth of both KV caches, which any stepping needs."""

    @property
    def beyond_caches(self) -> float:
        return self.resident - self.caches


def growth(vocabulary: int = 150_000, *, steps: int = 300) -> Growth:
    """Steps two small random models with a large vocabulary in `free`, and measures the growth of the process.

    The records are kept, as in a run. The first steps, which fill the reserves of every allocator, are not counted.
    """
    warm = steps // 2
    shape = Shape(32, 2, vocabulary, steps + warm + 8)
    dense, pruned = random_model(shape, 0), random_model(shape, 1)
    settings = RunSettings("", follow=Follow.FREE, steps=steps + warm)
    with Lockstep(dense, pruned, Numbers(), [1, 2, 3], settings) as lockstep:
        stepping = iter(lockstep)
        for _ in islice(stepping, warm):
            pass
        before = kept()
        for _ in islice(stepping, steps):
            pass
        after = kept()
    # After the contexts diverge, three are cached: one of the dense model, two of the pruned one.
    values = (
        2 * sum(key.numel() for name, key in dense.named_parameters() if name.endswith("k_proj.weight")) // shape.width
    )
    return Growth(vocabulary, steps, (after - before) / steps, 3.0 * values * dense.dtype.itemsize)


def growth_alone(vocabulary: int = 150_000, *, steps: int = 300) -> Growth:
    """`growth` in a new process. Raises `Failure` if it fails."""
    return Growth(**alone(__name__, vocabulary, steps))


if __name__ == "__main__":
    torch.set_num_threads(1)  # which changes no byte, and is faster for operations this short
    print(json.dumps(asdict(growth(int(sys.argv[1]), steps=int(sys.argv[2])))))  # noqa: T201 - the process's output
