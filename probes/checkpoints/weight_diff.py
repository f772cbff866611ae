"""Counts zeros and N:M patterns in a model's weights, and compares its tensors with the dense model's.

Nothing is taken from a checkpoint's description: everything is counted in the tensors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.schema.header import MatrixReport, TensorReport
from probes.schema.prune_setting import Pattern
from probes.system.float64 import to_float64
from probes.system.progress import Work
from probes.twin.anatomy import Anatomy, Matrix, weight

KNOWN_PATTERNS = (Pattern(1, 4), Pattern(2, 4), Pattern(4, 8))
"""The N:M patterns that are reported. Hardware supports 2:4; the others are common in the literature."""

_COMPARABLE = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_PIECE = 32_767
"""Numbers in one operation on a CPU. torch computes so many on one thread; the tensors are already spread over
threads."""
_LARGE_PIECE = 1 << 24
"""The same for operations that run on one thread anyway, or on another device."""
_THREADS = min(8, os.cpu_count() or 1)
"""Tensors compared at the same time; torch computes without holding Python's lock."""
_GLANCE = 64
"""Rows that are checked first: they nearly always show that a matrix has no pattern."""


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A tensor that has another shape than the dense model's."""

    name: str
    ours: tuple[int, ...]
    dense: tuple[int, ...]

    @property
    def narrower(self) -> bool:
        return len(self.ours) == len(self.dense) and all(a <= b for a, b in zip(self.ours, self.dense, strict=True))


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of comparing the second model's tensors with the dense model's."""

    count: int
    """Tensors of the second model that were compared; tensors tied in both models count once."""
    differing: tuple[TensorReport, ...]
    """Tensors that are not bit-identical to the dense model's, in the model's order."""
    reshaped: tuple[Reshaped, ...]
    """The differing tensors whose shape is not the dense model's."""
    unreadable: tuple[str, ...]
    """Tensors that can't be compared: quantised, or kept off the device."""
    extra: tuple[str, ...]
    """Tensors that the dense model does not have, such as a quantised matrix's scales."""
    missing: tuple[str, ...]
    """Tensors of the dense model without a counterpart in the second, by the dense model's names."""


def count_matrices(
    model: PreTrainedModel, matrices: Sequence[Matrix], work: Work
) -> tuple[tuple[MatrixReport, ...], int]:
    """Zeros and N:M patterns of every matrix, and the number of matrices that could not be counted."""
    reports = []
    for done, matrix in enumerate(matrices):
        work.report("Counting zeros", done, len(matrices), "matrices")
        values = weight(model, matrix)
        if not _countable(values):
            continue
        nonzero = _nonzero(values)
        zeros = nonzero.numel() - int(np.count_nonzero(nonzero.cpu().numpy()))
        found = patterns(nonzero) if zeros else ()
        rows, columns = nonzero.shape
        reports.append(MatrixReport(matrix.name, matrix.layer, matrix.sublayer, rows, columns, zeros, found))
    return tuple(reports), len(matrices) - len(reports)


def count_others(model: PreTrainedModel, anatomy: Anatomy, names: Sequence[str]) -> tuple[MatrixReport, ...]:
    """The zeros of the experts and routers among these tensors, each reported as one matrix; other tensors are left
    out.

    The matrices of stacked experts are counted as one tall matrix.
    """
    reports = []
    for name in names:
        values = model.get_parameter(name)
        if not _countable(values) or not (values.dim() == 3 or name.endswith(".weight")):
            continue
        block = next(block for block in anatomy.blocks if name.startswith(f"{block.name}."))
        inside = [s.part.kind for s in (block.attn, block.mlp) if s is not None and within(name, s.modules)]
        zeros = values.numel() - int(torch.count_nonzero(values.detach()))
        columns = values.shape[-1]
        kind = inside[0] if inside else ""
        label = name.removesuffix(".weight")
        reports.append(MatrixReport(label, block.layer, kind, values.numel() // columns, columns, zeros))
    return tuple(reports)


def zeros_in(model: PreTrainedModel, named: Mapping[str, str], reports: Sequence[MatrixReport]) -> int:
    """How many zeros another model has in the tensors of those reports that have zeros; `named` gives its names for
    them."""
    theirs, total = tensors(model), 0
    for report in reports:
        for name in (f"{report.name}.weight", report.name) if report.zeros else ():
            values = theirs.get(named.get(name, name))
            if values is not None and _countable(values) and values.numel() == report.rows * report.columns:
                total += values.numel() - int(torch.count_nonzero(values.detach()))
    return total


def patterns(nonzero: Tensor) -> tuple[str, ...]:
    """The N:M patterns of `KNOWN_PATTERNS` that a matrix obeys. `nonzero`, (outputs, inputs), is True where it is not
    zero.

    A matrix obeys N:M if no group of M neighbours along its inputs has more than N nonzero weights.
    """
    return tuple(
        str(pattern)
        for pattern in KNOWN_PATTERNS
        if nonzero.shape[1] % pattern.group == 0
        and _obeys(nonzero[:_GLANCE], pattern)
        and _obeys(nonzero[_GLANCE:], pattern)
    )


def relative_difference(ours: Tensor, dense: Tensor) -> tuple[float, float]:
    """‖w' - w‖₂ / ‖w‖₂ and max |w' - w| of two tensors of one shape, summed in float64."""
    squares = total = largest = 0.0
    for one, other in _in_pieces(ours, dense, _PIECE if dense.is_cpu else _LARGE_PIECE):
        there = other.double() if other.dtype is torch.float64 else other.float()
        apart = one.to(there.device, there.dtype) - there
        squares += float(torch.linalg.vector_norm(to_float64(apart))) ** 2
        total += float(torch.linalg.vector_norm(to_float64(there))) ** 2
        low, high = apart.aminmax()
        largest = max(largest, -float(low), float(high))
    return (squares / total) ** 0.5 if total else float("inf" if squares else 0), largest


def compare_weights(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    named: Mapping[str, str],
    skipped: Sequence[str],
    gone: Sequence[str],
    work: Work,
) -> Compared:
    """Compares the tensors of two models by name; `named` gives the dense model's name of a tensor if it differs.

    Tensors under the paths `skipped` are left out, because they do not run. `gone` are the dense model's paths of
    layers that the second model lacks. A tensor of another shape is reported as differing, without figures.
    """
    theirs, every = tensors(dense), tensors(model)
    ours = {name: value for name, value in every.items() if not within(name, skipped)}
    counterparts = {named.get(name, name) for name in every}
    missing = tuple(name for name in theirs if name not in counterparts and not within(name, gone))
    differing: list[TensorReport] = []
    reshaped: list[Reshaped] = []
    unreadable: list[str] = []
    extra: list[str] = []
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    seen: set[tuple[object, ...]] = set()
    for name, value in ours.items():
        other = theirs.get(named.get(name, name))
        if other is None:
            extra.append(name)
            continue
        if not _comparable(value) or not _comparable(other):
            unreadable.append(name)
            continue
        both = (_place(value), _place(other))
        if both in seen:  # tied in both models
            continue
        seen.add(both)
        pairs[name] = value, other
        if other.shape != value.shape:
            reshaped.append(Reshaped(name, tuple(value.shape), tuple(other.shape)))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="comparing") as pool:
        jobs = [pool.submit(_against, name, *pair) for name, pair in pairs.items()]
        try:
            for done, job in enumerate(jobs):
                work.report("Comparing the weights", done, len(jobs), "tensors")
                if (report := job.result()) is not None:
                    differing.append(report)
        finally:
            pool.shutdown(cancel_futures=True)
    return Compared(len(pairs), tuple(differing), tuple(reshaped), tuple(unreadable), tuple(extra), missing)


def _against(name: str, ours: Tensor, dense: Tensor) -> TensorReport | None:
    """The difference of a tensor from the dense model's; None if it is identical. Without figures if the shapes
    differ."""
    if ours.shape != dense.shape:
        return TensorReport(name, None, None)
    return None if _same(ours, dense) else TensorReport(name, *relative_difference(ours, dense))


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, tied ones under each of their names."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def matrices_of(model: nn.Module, anatomy: Anatomy) -> tuple[int, int]:
    """How many linear layers the blocks have, and how many of them are plain matrices in the anatomy."""
    known = {matrix.name for matrix in anatomy.matrices} | {
        name.removesuffix(".weight") for name in anatomy.unreachable
        if name.endswith(".weight") and isinstance(model.get_submodule(name.removesuffix(".weight")), nn.Linear)
    }  # fmt: skip
    linear = {
        f"{block.name}.{name}"
        for block in anatomy.blocks
        for name, module in model.get_submodule(block.name).named_modules()
        if "linear" in type(module).__name__.lower() or f"{block.name}.{name}" in known
    }
    return len(linear), len(linear & known)


def within(name: str, paths: Sequence[str]) -> bool:
    """Is the module or tensor of this name under one of these paths?"""
    return any(name == path or name.startswith(f"{path}.") for path in paths)


def _place(value: Tensor) -> tuple[object, ...]:
    return value.device, value.data_ptr(), value.shape, value.stride()


def _same(ours: Tensor, dense: Tensor) -> bool:
    """Are two tensors bit-identical, or if the dtypes differ, equal in value?"""
    if ours.dtype == dense.dtype:
        return all(torch.equal(one.to(other.device), other) for one, other in _in_pieces(ours, dense, _LARGE_PIECE))
    pieces = _in_pieces(ours, dense, _PIECE if dense.is_cpu else _LARGE_PIECE)
    return all(torch.equal(to_float64(one.to(other.device)), to_float64(other)) for one, other in pieces)


def _in_pieces(ours: Tensor, dense: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Two tensors of one shape in pieces of `size` numbers; no piece if they are empty."""
    if not dense.numel():
        return iter(())
    return zip(ours.detach().reshape(-1).split(size), dense.detach().reshape(-1).split(size), strict=True)


def _obeys(nonzero: Tensor, pattern: Pattern) -> bool:
    groups = nonzero.view(torch.uint8).unfold(1, pattern.group, pattern.group)
    in_group = torch.zeros(groups.shape[:2], dtype=torch.uint8, device=nonzero.device)
    for place in range(pattern.group):
        in_group += groups[:, :, place]
    return not bool((in_group > pattern.keep).any())


def _nonzero(values: Tensor) -> Tensor:
    """True where a weight is neither 0 nor -0."""
    plain = values.detach()
    if plain.dtype not in _COMPARABLE:
        plain = plain.float()
    if plain.is_cpu and plain.element_size() > 2:
        return torch.from_numpy(plain.numpy() != 0)
    return (plain != 0).contiguous()


def _countable(values: Tensor) -> bool:
    """Can zeros be counted in it? True for plain floats of any width that are in memory."""
    return type(values.detach()) is Tensor and not values.is_meta and values.is_floating_point()


def _comparable(values: Tensor) -> bool:
    return _countable(values) and values.dtype in _COMPARABLE
