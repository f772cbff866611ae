"""Measures the memory of pruning and of a pruned twin, in a new process.

`python -m probes.bench.memory SETTING SAMPLES MODEL` measures one setting and prints it as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from probes.bench.alone import alone
from probes.bench.resident import kept, resident

SPARE = 0.2
"""The share of the dense weights that pruning may take at its peak, beyond them and the pruned matrices."""
_EVERY = 0.002
"""Seconds between two measurements of the memory."""


@dataclass(frozen=True, slots=True)
class PruneMemory:
    """The memory of one pruning, in bytes beyond those of a process that has loaded and run the dense model."""

    setting: str
    samples: int
    """0 if no calibration text is needed."""
    dense: int
    """The dense model's weights."""
    matrices: int
    """The pruned matrices."""
    own: int
    """The twin's tensors that do not share memory with the dense model's."""
    peak: int
    """The highest memory while the setting was carried out: of the GPU if the model is on one, else resident."""
    left: int
    """The memory that is still in use afterwards, without freed memory."""

    @property
    def limit(self) -> float:
        """The most that the peak may be."""
        return self.matrices + SPARE * self.dense


def measure_memory(setting: str, samples: int = 0, dense: str = "demo") -> PruneMemory:
    """Prunes a model in a new process, calibrated on a number of samples (0 for the default). Raises `Failure` if that
    fails."""
    return PruneMemory(**alone(__name__, setting, samples, dense))


def _here(setting: str, number: int, spec: str) -> PruneMemory:
    import torch
    from torch import nn

    from probes.calibration.samples import samples
    from probes.models.loaded import load
    from probes.prune.apply import apply
    from probes.prune.block_walk import stream
    from probes.schema.prune_setting import parse
    from probes.schema.spec import CalibrationSpec
    from probes.system.progress import UNWATCHED
    from probes.twin.twin import Twin

    def tensors(model: nn.Module) -> dict[int, int]:
        held = (*model.parameters(), *model.buffers())
        return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}

    def taken() -> int:
        return torch.cuda.memory_allocated() if on_gpu else kept()

    dense = load(spec)
    on_gpu = dense.model.device.type == "cuda"
    # Weights are read from their file at first use, and libraries allocate memory at first use.
    stream(dense.model, samples(CalibrationSpec(samples=1), dense).ids, work=UNWATCHED, task="")
    before = taken()  # returns freed memory to the system: if pruning reused it, it would not be counted
    twin = Twin(dense.model)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with highest_resident() as highest:
        report = apply(twin, parse(setting), dense, CalibrationSpec(samples=number), keep=False)
    after, peak = taken(), torch.cuda.max_memory_allocated() if on_gpu else max(highest)
    stored = tensors(dense.model)
    changed = twin.state.changes
    return PruneMemory(
        setting=setting,
        samples=report.calibration.samples if report.calibration else 0,
        dense=sum(stored.values()),
        matrices=sum(twin.weight(name).nbytes for name in changed),
        own=sum(size for place, size in tensors(twin.model).items() if place not in stored),
        peak=peak - before,
        left=after - before,
    )


@contextmanager
def highest_resident() -> Iterator[list[int]]:
    """Measures the highest resident memory in its block; it is in the list afterwards."""
    done = threading.Event()
    seen = [resident()]

    def look() -> None:
        while not done.wait(_EVERY):
            seen[0] = max(seen[0], resident())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    print(json.dumps(asdict(_here(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))  # noqa: T201 - the process's output
