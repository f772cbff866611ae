"""Whole MLP neurons and whole attention heads: what adds least to the residual stream goes, with all its weights.

What a neuron adds is ‖x_j w_jᵀ‖_F = ‖x_j‖₂ ‖w_j‖₂, x_j its activation over all calibration tokens and w_j its column
of the matrix that writes to the stream; what a group of heads adds is ‖X_g W_gᵀ‖_F over its columns. Which rows of
the matrices before belong to a neuron or a head is found by disturbing them, so fused projections of any layout are
understood, and rows that serve others too are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.anatomy import Block, Matrix
from probes.doubles import double
from probes.errors import BadInput
from probes.loading.work import Work
from probes.prune.activations import Norms
from probes.prune.allocation import check_targets
from probes.prune.blocks import stream, watched
from probes.prune.criteria import check_finite, keep_highest, removed
from probes.prune.disturbance import Heads, heads, neurons_of_rows, writer
from probes.prune.setting import Method, Part, Ratio
from probes.twin import Twin


@dataclass(frozen=True, slots=True, eq=False)
class Thinning:
    """Which of a matrix's weights stay, (outputs, inputs), True for kept: whole rows or columns go."""

    name: str
    keep: Tensor


@dataclass(frozen=True, slots=True)
class _Sublayer:
    """One sublayer to thin: the matrix that writes to the stream, and those that make what enters it."""

    block: Block
    writes: Matrix
    makes: tuple[Matrix, ...]

    def local(self, matrix: Matrix) -> str:
        """A matrix's name within its block, the same in every layer."""
        return matrix.name.removeprefix(self.block.name)


def thinnings(twin: Twin, part: Part, samples: Callable[[], Tensor], work: Work) -> list[Thinning]:
    """What a structured part removes, on the twin as it is now; one forward pass over the samples.

    Of neurons, ⌊ratio · neurons⌋ go in every MLP; of heads, ⌊ratio · groups⌋ of all attentions together, ranked by
    their share of what their attention adds, so that one layer may lose several and another none.
    Raises `BadInput` where nothing would go, or where no sublayer has a single matrix that writes its output.
    """
    kind = "mlp" if part.method is Method.NEURONS else "attn"
    check_targets(part, (), {matrix.layer for matrix in twin.in_use if matrix.sublayer == kind})
    found = _sublayers(twin, part, kind)
    if not found:
        raise BadInput(
            "Nothing to thin",
            f"{part} finds no {'MLP' if kind == 'mlp' else 'attention'} whose output one matrix writes.",
            "Choose other layers, or a method that prunes single weights.",
        )
    assert isinstance(part.amount, Ratio)
    if kind == "mlp":
        return _neurons(twin, part, part.amount.value, found, samples, work)
    return _heads(twin, part, part.amount.value, found, samples, work)


def _sublayers(twin: Twin, part: Part, kind: str) -> list[_Sublayer]:
    found = []
    for block in twin.anatomy.blocks:
        matrices = [m for m in twin.in_use if m.layer == block.layer and m.sublayer == kind]
        sublayer = block.sublayer(kind)
        if sublayer is None or not matrices or block.layer not in (part.targets.layers or (block.layer,)):
            continue
        writes = writer(twin.model, sublayer, matrices)
        if writes is not None:
            found.append(_Sublayer(block, writes, tuple(m for m in matrices if m != writes)))
    return found


def _neurons(
    twin: Twin, part: Part, ratio: float, found: Sequence[_Sublayer], samples: Callable[[], Tensor], work: Work
) -> list[Thinning]:
    counts = {sublayer.block.layer: removed(ratio, twin.weight(sublayer.writes.name).shape[1]) for sublayer in found}
    if not any(counts.values()):
        raise _too_few(part, "neurons in an MLP", twin.weight(found[0].writes.name).shape[1])
    norms = Norms()
    with watched(twin.model, [sublayer.writes.name for sublayer in found], norms.see):
        stream(twin.model, samples(), work=work, task="Measuring what each neuron adds")
    rows: dict[str, Tensor | None] = {}
    result = []
    for sublayer in found:
        weight = twin.weight(sublayer.writes.name)
        adds = norms.norms(sublayer.writes.name).to(weight.device) * weight.float().norm(dim=0)
        check_finite(adds, sublayer.writes.name)
        kept = keep_highest(adds.unsqueeze(0), counts[sublayer.block.layer])[0]
        result.append(Thinning(sublayer.writes.name, kept.expand(weight.shape)))
        for matrix in sublayer.makes:
            local = sublayer.local(matrix)
            if local not in rows:
                rows[local] = neurons_of_rows(twin, sublayer.writes, matrix)
            if (neuron := rows[local]) is not None:
                result.append(_by_rows(twin, matrix, kept[neuron.to(kept.device)]))
    return result


def _heads(
    twin: Twin, part: Part, ratio: float, found: Sequence[_Sublayer], samples: Callable[[], Tensor], work: Work
) -> list[Thinning]:
    layout = heads(twin, found[0].writes, found[0].makes)
    like = [s for s in found if twin.weight(s.writes.name).shape == twin.weight(found[0].writes.name).shape]
    if layout is None or len(like) != len(found):
        raise BadInput(
            "Heads", "The attentions of this model don't divide into like heads.", "Use neurons or drop-attn."
        )
    pairs = [(sublayer, group) for sublayer in found for group in layout.groups]
    count = removed(ratio, len(pairs))
    if not count:
        raise _too_few(part, "groups of heads", len(pairs))
    shares = _shares(twin, layout, found, samples, work)
    order = sorted(range(len(pairs)), key=lambda number: shares[number])
    gone: dict[int, set[int]] = {}
    for number in order[:count]:
        sublayer, group = pairs[number]
        gone.setdefault(sublayer.block.layer, set()).update(group)
    first = {found[0].local(matrix): layout.served.get(matrix.name) for matrix in found[0].makes}
    result = []
    for sublayer in found:
        lost = gone.get(sublayer.block.layer)
        if not lost:
            continue
        weight = twin.weight(sublayer.writes.name)
        kept = ~torch.isin(torch.arange(weight.shape[1]) // layout.size, torch.tensor(sorted(lost)))
        result.append(Thinning(sublayer.writes.name, kept.to(weight.device).expand(weight.shape)))
        for matrix in sublayer.makes:
            if served := first.get(sublayer.local(matrix)):
                stays = torch.tensor([not heads_served or not heads_served <= lost for heads_served in served])
                if not stays.all():
                    result.append(_by_rows(twin, matrix, stays.repeat_interleave(layout.size)))
    return result


def _shares(
    twin: Twin, layout: Heads, found: Sequence[_Sublayer], samples: Callable[[], Tensor], work: Work
) -> list[float]:
    """‖X_g W_gᵀ‖²_F / ‖X Wᵀ‖²_F of every group of every sublayer, in that order."""
    columns = [
        torch.tensor([h * layout.size + i for h in group for i in range(layout.size)]) for group in layout.groups
    ]
    added = {sublayer.writes.name: [0.0] * (len(columns) + 1) for sublayer in found}

    def see(name: str, inputs: Tensor) -> None:
        weight = twin.weight(name).float()
        x = inputs.float()
        for number, features in enumerate((*columns, torch.arange(x.shape[1]))):
            added[name][number] += float(double((x[:, features] @ weight[:, features].T).square()).sum())

    with watched(twin.model, list(added), see):
        stream(twin.model, samples(), work=work, task="Measuring what each head adds")
    for name, sums in added.items():
        check_finite(torch.tensor(sums), name)
    return [one / sums[-1] if sums[-1] else 0.0 for sums in added.values() for one in sums[:-1]]


def _by_rows(twin: Twin, matrix: Matrix, kept: Tensor) -> Thinning:
    weight = twin.weight(matrix.name)
    return Thinning(matrix.name, kept.to(weight.device).unsqueeze(1).expand(weight.shape))


def _too_few(part: Part, what: str, number: int) -> BadInput:
    return BadInput(
        "Nothing removed", f"{part} of {number} {what} is none.", f"Use a ratio of at least {1 / number + 0.0005:.3f}."
    )
