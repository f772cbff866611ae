"""Measures the noise floor of a pair: how far the dense model is from itself if only the arithmetic differs.

Everything runs on a copy of the module graph that shares the weights, so the models in use are never touched. For each
cause the context is read in one pass and compared, position by position, with the same pass as the pair computes it.
Only a batch moves nothing there, but it does when one token is fed alone, as stepping does: its last positions are read
one by one, over a cache.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from probes.models.devices import input_device
from probes.models.hooks import Forward, entering, replacing_forward
from probes.models.quantised import quantised_format
from probes.models.rotary import Rotary
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.foreign_text import said
from probes.schema.noise_floor import MARGIN, NUMBER_FORMATS, Noise, NoiseFloor
from probes.schema.record import Comparison
from probes.stepping.cached_model import CachedModel, NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.spaces import compare_logits
from probes.system.memory import ran_out
from probes.system.progress import UNWATCHED, Work
from probes.system.threads import on_threads
from probes.twin.sharing import sharing_copy

_TASK = "Measuring the noise floor"
MOST_POSITIONS = 48
"""The last positions of the context that are compared."""
_STEPS = 8
"""The last positions at which a batch is compared."""
_TOP = 10
_ONES = (("h", "cos"), ("h", "length_ratio"), ("z", "cos"), ("z", "cos_centred"), ("p", "cos"), ("p", "topk_overlap"))
"""The figures that are 1 for an exact copy."""
_ZEROS = {
    "h": ("angle", "parallel", "orthogonal", "cos_estimate"),
    "z": ("l2", "rms", "rms_centred", "mean_abs", "max_abs", "top5_rms", "parallel", "orthogonal"),
    "p": ("kl", "kl_reverse", "js", "tv", "kl_estimate", "cos_estimate"),
}
"""Those that are 0, by space."""
_GAPS = {"h.gap": "h.cos", "z.gap": "z.cos_centred", "p.gap": "p.cos"}
_KERNELS = ("sdpa", "eager")
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_Read = Callable[[], tuple[NextTokenOutput, NextTokenOutput]]
"""Reads as the pair does, and in another way."""


class _Skipped(Exception):
    """A cause that can't be measured; the message says why."""


@torch.inference_mode()
def measure_noise(
    model: PreTrainedModel,
    context: Sequence[int],
    *,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    work: Work = UNWATCHED,
) -> NoiseFloor:
    """The noise floor on the last positions of a context of at least one token.

    Distributions are over the ids below `vocabulary`. Raises `Failure` if the model computes NaN or infinity or memory
    runs out in the pass that all others are compared with, and `Cancelled`. A cause that fails for any other reason is
    skipped with the reason.
    """
    work.check(_TASK)
    own = _Passes(sharing_copy(model), context)
    try:
        with _SeesKernel() as kernel:
            reference = own.read()
    except (MemoryError, torch.OutOfMemoryError) as problem:
        message = f"Memory ran out while the noise floor was measured: {ran_out(problem)}"
        raise Failure("Out of memory", message, "Choose an earlier step.") from problem
    if not reference.finite:
        message = "The dense model computes NaN or infinity on this context, so it has no noise floor here."
        raise Failure("Not finite", message, "Choose an earlier step.")
    causes = _causes(own, reference, kernel.fused, work)
    rows, skipped = [], {}
    for done, (cause, read) in enumerate(causes.items()):
        work.report(_TASK, done, len(causes), "causes")
        try:
            largest = _largest(*read(), vocabulary, temperature)
        except _Skipped as problem:
            skipped[cause] = str(problem)
        except (BadInput, Cancelled):
            raise
        except (MemoryError, torch.OutOfMemoryError) as problem:
            skipped[cause] = f"memory ran out: {ran_out(problem)}"
        except Exception as problem:  # noqa: BLE001 - an architecture may raise anything in another number format
            skipped[cause] = f"{type(model).__name__} can't be read so: {said(problem)}"
        else:
            rows.append(Noise(cause, largest))
    return NoiseFloor(len(reference.logits), tuple(rows), skipped, str(model.dtype).removeprefix("torch."))


class _Passes:
    """One graph that reads one context at once."""

    def __init__(self, graph: PreTrainedModel, context: Sequence[int]) -> None:
        self.graph = graph
        self._ids = torch.tensor([list(context)], device=input_device(graph))
        self._positions = min(MOST_POSITIONS, len(context))
        head = graph.get_output_embeddings()
        self._head = next(path for path, module in graph.named_modules() if module is head)

    def read(self) -> NextTokenOutput:
        """The output at the last positions, of one pass."""
        seen: list[Tensor] = []
        positions, length = self._positions, self._ids.shape[1]
        keep = {"logits_to_keep": positions} if "logits_to_keep" in signature(self.graph.forward).parameters else {}
        rotary = Rotary(self.graph)
        with (
            rotary.at_length(length) if rotary else nullcontext(),
            entering(self.graph, [self._head], lambda _path, call: seen.append(call.hidden)),
        ):
            logits: Tensor = self.graph(input_ids=self._ids, use_cache=False, **keep).logits
        hidden = seen[-1].view(-1, seen[-1].shape[-1])
        return NextTokenOutput(hidden[-positions:].to(logits.device), logits[0, -positions:])

    def steps(self, rows: int, work: Work) -> NextTokenOutput:
        """The output at the last few positions, one by one over a cache, of the first of so many equal rows."""
        context, cached = self._ids[0].tolist(), CachedModel(self.graph)
        lengths = range(max(1, len(context) - _STEPS + 1), len(context) + 1)
        found = []
        for length in lengths:
            work.check(_TASK)
            found.append(cached.read([context[:length]] * rows))
        cached.join()
        return NextTokenOutput(*(torch.stack([getattr(one, n)[0] for one in found]) for n in ("hidden", "logits")))


def _causes(own: _Passes, reference: NextTokenOutput, fused: bool, work: Work) -> dict[str, _Read]:
    """Each cause and how to read under it. The kernel is the last, because it changes the graph."""
    graph = own.graph
    now = torch.get_num_threads()
    others = 1 if now > 1 else 2
    kernel = _KERNELS[graph.config._attn_implementation == _KERNELS[0]]
    half = graph.dtype.itemsize < 4
    formats = [name for name in NUMBER_FORMATS if _DTYPES[name] != graph.dtype and (half or name == NUMBER_FORMATS[0])]

    def in_format(dtype: torch.dtype) -> _Read:
        def read() -> tuple[NextTokenOutput, NextTokenOutput]:
            with _computing_in(graph, dtype):
                return reference, own.read()

        return read

    def with_threads() -> tuple[NextTokenOutput, NextTokenOutput]:
        if graph.device.type != "cpu":
            raise _Skipped(f"the model computes on {graph.device}, which takes no number of threads.")
        if others > (os.cpu_count() or 1):
            raise _Skipped("this machine has one processor.")
        return reference, on_threads(others, torch.inference_mode()(own.read))

    def with_kernel() -> tuple[NextTokenOutput, NextTokenOutput]:
        _set_kernel(graph, kernel)
        with _SeesKernel() as seen:
            output = own.read()
        if kernel == _KERNELS[1] and seen.fused == fused:
            raise _Skipped(f"{type(graph).__name__} has one attention kernel only.")
        return reference, output

    return {
        **{name: in_format(_DTYPES[name]) for name in formats},
        f"{others} thread{'s' * (others > 1)}": with_threads,
        "batch of 2": lambda: (own.steps(1, work), own.steps(2, work)),
        f"{kernel} attention": with_kernel,
    }


def _set_kernel(graph: PreTrainedModel, kernel: str) -> None:
    try:
        graph.set_attn_implementation(kernel)
    except (ValueError, ImportError) as problem:
        raise _Skipped(said(problem).partition(". ")[0].rstrip(".") + ".") from problem
    if graph.config._attn_implementation != kernel:
        raise _Skipped(f"{type(graph).__name__} has one attention kernel only.")


@contextmanager
def _computing_in(graph: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Converts the weights of each module while it runs, so that only one module's are in memory twice."""
    name = str(dtype).removeprefix("torch.")
    if quantised := quantised_format(graph):
        raise _Skipped(f"the weights are quantised ({quantised}).")
    if any(parameter.is_meta for parameter in graph.parameters()):
        raise _Skipped(f"a device map moves the weights, so they can't be converted to {name}.")
    holders = [path for path, module in graph.named_modules() if any(True for _ in module.parameters(recurse=False))]

    def converting(module: nn.Module) -> Callable[[Forward], Forward]:
        def made_of(forward: Forward) -> Forward:
            def converted(*args: object, **kwargs: object) -> object:
                held: dict[str, Any] = dict(module._parameters)
                try:
                    for key, parameter in held.items():
                        if parameter is not None and parameter.is_floating_point():
                            module._parameters[key] = nn.Parameter(parameter.to(dtype), requires_grad=False)
                    return forward(*args, **kwargs)
                finally:
                    module._parameters.update(held)

            return converted

        return made_of

    with replacing_forward(graph, {path: converting(graph.get_submodule(path)) for path in holders}):
        yield


class _SeesKernel(TorchFunctionMode):
    """Notes whether torch's fused attention runs in its block."""

    fused = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            self.fused = True
        return func(*args, **(kwargs or {}))


def _largest(
    reference: NextTokenOutput, other: NextTokenOutput, vocabulary: int | None, temperature: float
) -> dict[str, float]:
    """The largest distance of each figure from that of an exact copy, over the positions. Those that are not finite at
    a position are left out there."""
    if not other.finite:
        raise _Skipped("it computes NaN or infinity.")
    logits, logits2 = (one.logits[:, :vocabulary] for one in (reference, other))
    found: dict[str, float] = {}
    compared = compare_logits(
        reference.hidden, other.hidden, logits, logits2, temperature=temperature, top=_TOP, piece=str
    )
    margins = _margin_changes(Distribution(logits, temperature), Distribution(logits2, temperature))
    for one, margin in zip(compared, margins, strict=True):
        for figure, distance in (*_distances(one), (MARGIN, margin)):
            if math.isfinite(distance):
                found[figure] = max(found.get(figure, 0.0), distance)
    return found | {gap: found[figure] for gap, figure in _GAPS.items() if figure in found}


def _distances(one: Comparison) -> Iterator[tuple[str, float]]:
    for space, names in _ZEROS.items():
        for name in names:
            yield f"{space}.{name}", getattr(getattr(one, space), name)
    for space, name in _ONES:
        yield f"{space}.{name}", abs(1.0 - getattr(getattr(one, space), name))
    yield "p.entropy", abs(one.p.entropy_pruned - one.p.entropy_dense)


def _margin_changes(dense: Distribution, other: Distribution) -> list[float]:
    """How far ln p(a) - ln p(b) moves at each position, where a and b are the two likeliest tokens."""
    if dense.z.shape[1] < 2:
        return [0.0] * len(dense)
    tokens = dense.z.topk(2).indices
    margins = [one.z.gather(1, tokens).diff(dim=1)[:, 0] / one.temperature for one in (dense, other)]
    changes: list[float] = (margins[1] - margins[0]).abs().tolist()
    return changes
