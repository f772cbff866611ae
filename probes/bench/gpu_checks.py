"""What must be right on a GPU before anything is fast: exact copies, caches, graphs, dtypes, streams, memory, maps.

Each check gives the largest difference that it found, the largest that is allowed, and a few words.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.bench.guarded import NotHere, free_memory
from probes.bench.random_models import Numbers
from probes.bench.static_decoder import StaticDecoder
from probes.models.devices import input_device
from probes.models.hooks import Call, entering
from probes.schema.errors import Failure
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.stepping.cached_model import CachedModel
from probes.stepping.graphed_model import graphed
from probes.stepping.lockstep import Lockstep
from probes.twin.sharing import sharing_copy

Found = tuple[float, float, str]
STEPS = 6
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.2}
"""The largest error of a logit, as a share of the largest logit."""
_SUMS = ("angle", "parallel", "orthogonal"), ("l2", "max_abs"), ("kl", "kl_reverse", "js", "tv")
"""Figures of an exact copy that are 0, in each of the three spaces."""
_LITTLE = 32_000_000
"""Bytes: less than the logits of a long context."""


def thinned(model: PreTrainedModel) -> PreTrainedModel:
    """A pruned copy that shares all but the blocks' matrices, of which the smaller half of the weights is 0."""
    twin = sharing_copy(model)
    embedded = {
        id(one)
        for part in (twin.get_input_embeddings(), twin.get_output_embeddings())
        if part is not None
        for one in part.parameters()
    }
    for module in twin.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter) and weight.dim() == 2 and id(weight) not in embedded:
            kept = weight.abs() > 0.6745 * weight.float().std()  # the median of a normal distribution's sizes
            module.weight = torch.nn.Parameter(weight * kept, requires_grad=False)
    return twin


def exact_copy(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """An exact copy, which shares all tensors, differs in nothing, and a thinned one differs."""
    settings = RunSettings("", follow=Follow.FREE, steps=STEPS)
    with Lockstep(model, sharing_copy(model), Numbers(), ids, settings) as lockstep:
        worst = max(_largest(record) for record in lockstep)
    with Lockstep(model, thinned(model), Numbers(), ids, settings) as lockstep:
        seen = max(_largest(record) for record in lockstep)
    if not seen > 0:
        raise ValueError("a thinned copy differs in nothing, so an exact one proves nothing")
    return worst, 0.0, f"largest figure of an exact copy; {seen:.3g} of a thinned one"


def cached_and_full(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """Cached logits are those of a full pass, forwards, after going back, and in a batch of two."""
    cached, worst = CachedModel(model), 0.0
    for length in (2, 3, len(ids) // 2, len(ids), 3):
        answer = cached.read([ids[:length]])
        cached.join()
        worst = max(worst, _apart(answer.logits[0], _full(model, ids[:length])))
    both = [[*ids, 3], [*ids, 4]]
    answer = cached.read(both)
    cached.join()
    for row, context in enumerate(both):
        worst = max(worst, _apart(answer.logits[row], _full(model, context)))
    return worst, _tolerance(model), "largest error of a logit, as a share of the largest logit"


def static_cache(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """Decoding with a static cache gives the tokens and logits of a full pass, and equal ones for an exact copy."""
    return _decoded(model, ids, capture=False)


def captured_graph(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """A captured graph gives the tokens and logits of a full pass, and equal ones for an exact copy."""
    if next(model.parameters()).device.type != "cuda":
        raise NotHere("CUDA graphs need a CUDA GPU")
    return _decoded(model, ids, capture=True)


def graphed_steps(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """Steps from graphs have the tokens of ordinary ones and nearly their figures; an exact copy differs in nothing."""
    if next(model.parameters()).device.type != "cuda":
        raise NotHere("CUDA graphs need a CUDA GPU")
    settings, other = RunSettings("", follow=Follow.DENSE, steps=STEPS), thinned(model)
    pair = graphed(model, sharing_copy(model))
    with Lockstep(*pair, Numbers(), ids, settings) as lockstep:
        copied = max(_largest(record) for record in lockstep)
    if refused := pair[0].refused:
        raise NotHere(refused)
    if copied:
        raise ValueError(f"a figure of an exact copy is {copied:.3g}")
    with Lockstep(*graphed(model, other), Numbers(), ids, settings) as lockstep:
        found = list(lockstep)
    with Lockstep(model, other, Numbers(), ids, settings) as lockstep:
        expected = list(lockstep)
    kls = [[record.own.p.kl for record in path if record.own] for path in (found, expected)]
    worst = max(abs(a - b) / max(b, 1e-6) for a, b in zip(*kls, strict=True))
    return worst, _tolerance(model), "largest error of a step's KL, as a share of it"


def streams(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """Both models on streams of their own give the figures, to the bit, of one after the other."""
    if next(model.parameters()).device.type != "cuda":
        raise NotHere("streams need a CUDA GPU")
    other, paths = thinned(model), []
    for together in (True, False, True):
        with Lockstep(model, other, Numbers(), ids, RunSettings("", follow=Follow.FREE, steps=STEPS)) as lockstep:
            for one in lockstep.models:
                if one._stream is None:
                    raise ValueError("a model has no stream of its own")
                if not together:
                    one._stream = None
            paths.append(list(lockstep))
    differing = sum(len(set(map(repr, steps))) > 1 for steps in zip(*paths, strict=True))
    return float(differing), 0.0, f"steps of {STEPS} that differ"


def out_of_memory(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """A pass that runs out of memory is a sentence, leaves nothing behind, and the model reads on afterwards.

    On a CPU the error is raised instead of being caused.
    """
    device = next(model.parameters()).device
    cached = CachedModel(model)
    before = cached.read([ids]).logits
    cached.join()
    gpu = device.type == "cuda"
    held = torch.cuda.memory_allocated(device) if gpu else 0
    try:
        if gpu:
            longest = int(model.config.max_position_embeddings)
            with _little_memory(device):
                cached.read_last([[3] * longest], longest - 1)
        else:
            with entering(model, [""], _ran_out):
                cached.read([[*ids, 5]])
    except Failure as failure:
        words = failure.message
    else:
        raise ValueError("there was memory enough, so nothing was tried")
    free_memory()
    left = torch.cuda.memory_allocated(device) - held if gpu else 0
    after = cached.read([ids]).logits
    cached.join()
    if left > 64e6:
        raise ValueError(f"{left / 1e6:.0f} MB are left behind")
    return _apart(after[0], before[0]), _tolerance(model), f"error of a logit afterwards. {words}"[:300]


def device_map(model: PreTrainedModel, ids: Sequence[int]) -> Found:
    """A model whose second half of the layers is on the CPU steps, gives its logits, and an exact copy differs in
    nothing."""
    if find_spec("accelerate") is None:
        raise NotHere("accelerate is not installed")
    from accelerate import dispatch_model

    device = next(model.parameters()).device
    expected = _full(model, ids)
    parts = copy.deepcopy(model)
    blocks = parts.model.layers
    places: dict[str, object] = {"model.embed_tokens": device, "model.rotary_emb": device, "model.norm": device}
    places |= {"lm_head": device}
    places |= {f"model.layers.{n}": device if n < len(blocks) // 2 else "cpu" for n in range(len(blocks))}
    spread = dispatch_model(parts, {name: str(place) for name, place in places.items()}, main_device=str(device))
    worst = _apart(_full(spread, ids), expected)
    with Lockstep(spread, sharing_copy(spread), Numbers(), ids, RunSettings("", steps=2)) as lockstep:
        if any(_largest(record) for record in lockstep):
            raise ValueError("an exact copy of a model on two devices differs")
    return worst, _tolerance(model), "largest error of a logit, as a share of the largest logit"


CHECKS: dict[str, Callable[[PreTrainedModel, Sequence[int]], Found]] = {
    "exact copy": exact_copy,
    "cached and full pass": cached_and_full,
    "static cache": static_cache,
    "captured graph": captured_graph,
    "graphed steps": graphed_steps,
    "streams": streams,
}
"""Those of each model and dtype."""
ONCE: dict[str, Callable[[PreTrainedModel, Sequence[int]], Found]] = {
    "out of memory": out_of_memory,
    "device map": device_map,
}
"""Those of one small model."""


def _decoded(model: PreTrainedModel, ids: Sequence[int], *, capture: bool) -> Found:
    """A model and its exact copy, decoded together from one context and again after going back to it."""
    decoder = StaticDecoder([model, sharing_copy(model)], [ids, ids], STEPS)
    if capture:
        decoder.capture()
    worst, paths = 0.0, []
    for _ in range(2):
        decoder.reset()
        context, chosen = list(ids), []
        for _ in range(STEPS):
            tokens = decoder.step()
            if tokens[0] != tokens[1] or not torch.equal(*decoder.logits):
                raise ValueError("an exact copy gives other logits")
            worst = max(worst, _apart(decoder.logits[0][0], _full(model, context)))
            context.append(tokens[0])
            chosen.append(tokens[0])
        paths.append(chosen)
    if paths[0] != paths[1]:
        raise ValueError("after going back, other tokens are chosen")
    return worst, _tolerance(model), "largest error of a logit, as a share of the largest logit"


def _ran_out(_path: str, _call: Call) -> None:
    raise torch.OutOfMemoryError("simulated")


@contextmanager
def _little_memory(device: torch.device) -> Iterator[None]:
    """Lets this process have a little more memory than it has, in its block."""
    free_memory()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + _LITTLE) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _largest(record: StepRecord) -> float:
    """The largest of the figures that are 0 for an exact copy."""
    found = record.own or record.shared
    if found is None:
        raise ValueError("a step was not compared")
    spaces = zip((found.h, found.z, found.p), _SUMS, strict=True)
    return max(float(getattr(space, name)) for space, names in spaces for name in names)


@torch.inference_mode()
def _full(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """The logits after the last token, of a pass over all."""
    logits = model(input_ids=torch.tensor([list(ids)], device=input_device(model)), use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits[0, -1]


def _apart(logits: Tensor, expected: Tensor) -> float:
    expected = expected.float().to(logits.device)
    return float((logits.float() - expected).abs().max() / expected.abs().max())


def _tolerance(model: PreTrainedModel) -> float:
    return TOLERANCE.get(model.dtype, 1e-3)
