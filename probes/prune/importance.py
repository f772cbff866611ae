"""Measures how much each sublayer or block changes the residual stream; the one that changes it least is dropped first.

For a block: Block Influence, 1 - E[cos(x_in, x_out)] (ShortGPT, arXiv 2403.03853, equation 1). For a sublayer: the same
figure of the stream before its norm and after its output is added (LLM-Drop, arXiv 2406.15786, section 3). The mean is
taken over all tokens of the calibration text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from probes.models.hooks import Call, first_of, leaving
from probes.prune.allocation import check_targets
from probes.prune.block_walk import stream
from probes.prune.criteria import removed
from probes.schema.errors import BadInput
from probes.schema.part import BLOCK, Part
from probes.schema.prune_setting import Count, Ratio, SettingPart
from probes.system.float64 import to_float64
from probes.system.progress import Work
from probes.twin.anatomy import Block, Sublayer
from probes.twin.twin import Twin

_KEPT: WeakKeyDictionary[Twin, dict[str, dict[Part, float]]] = WeakKeyDictionary()
"""The scores of each twin, by the kind of part, the twin's state and the text."""

Passed = Callable[[Part, Tensor, Tensor], None]
"""Gets a sublayer or block, and the residual stream before and after it, (batch, tokens, d)."""


def importance(twin: Twin, kind: str, ids: Tensor, work: Work) -> dict[Part, float]:
    """1 - mean cosine, in [0, 2], of all "attn", "mlp" or "block" that still run, in layer order.

    Takes one forward pass of the twin as it is now over `ids`, (samples, length). The twin's scores are kept: dropping
    another number of layers needs the same ones.
    """
    kept = _KEPT.setdefault(twin, {})
    state, name = twin.state, ""
    if all(change.weight is None for change in state.changes.values()):  # or the masks do not say what the weights are
        name = f"{kind} {state.hash} {hashlib.sha256(ids.cpu().numpy().tobytes()).hexdigest()} {tuple(ids.shape)}"
    if name not in kept:
        kept[name] = _importance(twin, kind, ids, work)
    return dict(kept[name] if name else kept.pop(name))


def _importance(twin: Twin, kind: str, ids: Tensor, work: Work) -> dict[Part, float]:
    layers = {part.layer for part in _running(twin, kind)}
    blocks = [block for block in twin.anatomy.blocks if block.layer in layers]
    sums = {Part(kind, block.layer): (0.0, 0) for block in blocks}

    def passed(part: Part, before: Tensor, after: Tensor) -> None:
        if part in sums:
            a, b = (state.detach().float().reshape(-1, state.shape[-1]) for state in (before, after))
            total, tokens = sums[part]
            sums[part] = total + float(to_float64(torch.cosine_similarity(a, b)).sum()), tokens + len(a)

    with ExitStack() as stack:
        for block in blocks:
            sublayers = (block.attn, block.mlp) if kind != BLOCK else ()
            running = [sublayer for sublayer in sublayers if sublayer and not twin.is_dropped(sublayer.part)]
            stack.enter_context(_watched(twin.model, block, running, passed))
        stream(twin.model, ids, work=work, task=f"Measuring what each {kind} does")
    idle = [part for part, (_, tokens) in sums.items() if not tokens]
    if idle:
        raise BadInput("Never ran", f"{idle[0]} never ran on the calibration text.", "Name the layers: @layers=….")
    return {part: 1 - total / tokens for part, (total, tokens) in sums.items()}


def least_important(twin: Twin, part: SettingPart, samples: Callable[[], Tensor], work: Work) -> tuple[Part, ...]:
    """The sublayers or blocks that a part of a setting drops: those it names, or the least important ones.

    An iterative method chooses one, drops it, and measures again. The twin is left as it was. Raises `BadInput` if the
    part asks for more than there are.
    """
    kind, layers = part.method.dropped_kind, part.targets.layers
    if part.amount is None:
        return tuple(Part(kind, layer) for layer in layers or ())
    running = _running(twin, kind)
    if not running:
        model = type(twin.dense).__name__
        raise BadInput(
            "Nothing to drop",
            f"{model} has no {kind} in use that {part} could drop on its own.",
            "Drop whole blocks (drop-block)." if kind != BLOCK else "Choose another method.",
        )
    check_targets(part, (), [one.layer for one in running])
    there = [one for one in running if layers is None or one.layer in layers]
    amount = part.amount
    count = (
        amount.value
        if isinstance(amount, Count)
        else removed(amount.value, len(there))
        if isinstance(amount, Ratio)
        else 0
    )
    if not 0 < count <= len(there):
        raise BadInput(
            "Nothing to drop" if not count else "Too many to drop",
            f"{part} asks for {count} of {len(there)} that can be dropped.",
            f"Use a number from 1 to {len(there)}." if there else "Choose other layers or another method.",
        )
    if not part.method.iterative:
        found = importance(twin, kind, samples(), work)
        return tuple(sorted(there, key=lambda one: found[one])[:count])
    before, chosen = twin.state, list[Part]()
    try:
        for _ in range(count):
            found = importance(twin, kind, samples(), work)
            chosen.append(min((one for one in there if one not in chosen), key=lambda one: found[one]))
            twin.drop(chosen[-1])
    finally:
        twin.set_state(before)
    return tuple(chosen)


def _running(twin: Twin, kind: str) -> list[Part]:
    """Droppable parts that are not dropped yet."""
    return [part for part in twin.droppable(kind) if not twin.is_dropped(part)]


@contextmanager
def _watched(model: nn.Module, block: Block, running: Sequence[Sublayer], passed: Passed) -> Iterator[None]:
    """Passes the stream before and after the block and its running sublayers to `passed`, each time the block has
    run."""
    children = [f"{block.name}.{name}" for name, _ in model.get_submodule(block.name).named_children()]
    adding = {sublayer.modules[-1] for sublayer in running}
    entered: dict[str, Tensor] = {}
    left: dict[str, Tensor] = {}

    def see(path: str, call: Call, output: object) -> None:
        out = first_of(output)
        if path != block.name:
            # A copy, because some blocks add to a sublayer's output in place. A norm's output is recognised by its
            # address.
            entered[path], left[path] = call.hidden, out.clone() if path in adding else out
            return
        passed(block.part, call.hidden, out)
        befores = [_before(entered[sublayer.modules[0]], sublayer, entered, left) for sublayer in running]
        # One tensor, not two equal ones: if the attention adds nothing, the MLP's input is equal but another tensor.
        parallel = len(running) == 2 and _same(*befores)
        for number, (sublayer, before) in enumerate(zip(running, befores, strict=True)):
            if parallel:
                after = before + left[sublayer.modules[-1]]
            else:
                after = out if sublayer is running[-1] else befores[number + 1]
            passed(sublayer.part, before, after.reshape(before.shape))
        entered.clear()
        left.clear()

    with leaving(model, [*children, block.name], see, idle=True):
        yield


def _before(enters: Tensor, sublayer: Sublayer, entered: Mapping[str, Tensor], left: Mapping[str, Tensor]) -> Tensor:
    """The stream before a sublayer: its input, or the input of the norm whose output its input is."""
    norms = (path for path, output in left.items() if path not in sublayer.modules and _same(output, enters))
    return next((entered[path] for path in norms), enters)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.numel() == b.numel()
