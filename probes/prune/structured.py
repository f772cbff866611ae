"""Removes the MLP neurons and the groups of attention heads that add least to the residual stream.

A neuron adds ‖x_j w_jᵀ‖_F = ‖x_j‖₂ ‖w_j‖₂, with x_j its activation over all calibration tokens and w_j its column of
the matrix that writes to the stream; a group of heads adds ‖X_g W_gᵀ‖_F over its columns. The rows that belong to a
neuron or a head in the matrices before it are found by adding noise to them (`row_roles`). So fused projections of any
layout work, and rows that also belong to kept heads are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from probes.prune.activations import Norms
from probes.prune.allocation import check_targets
from probes.prune.block_walk import stream, watched
from probes.prune.criteria import check_finite, keep_highest, removed
from probes.prune.row_roles import Heads, heads, neurons_of_rows, writer
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, Ratio, SettingPart, ranges
from probes.system.float64 import to_float64
from probes.system.progress import Work
from probes.twin.anatomy import Block, Matrix
from probes.twin.experts import experts_in
from probes.twin.twin import Twin


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMask:
    """The weights of a matrix that are kept, (outputs, inputs), True for kept: whole rows or columns are removed."""

    name: str
    keep: Tensor


@dataclass(frozen=True, slots=True)
class _Sublayer:
    """One sublayer to prune: the matrix that writes to the stream, and those that compute its inputs."""

    block: Block
    writes: Matrix
    makes: tuple[Matrix, ...]

    def local(self, matrix: Matrix) -> str:
        """A matrix's name within its block, the same in every layer."""
        return matrix.name.removeprefix(self.block.name)


def feature_masks(
    twin: Twin, part: SettingPart, samples: Callable[[], Tensor], work: Work
) -> tuple[list[FeatureMask], tuple[str, ...]]:
    """The masks of a structured part on the twin as it is now, and notes on sublayers that can't be pruned so. Takes
    one forward pass over the samples.

    ⌊ratio · neurons⌋ neurons are removed from every MLP; ⌊ratio · groups⌋ groups of heads from all attentions together,
    ranked by their share of their attention's output, so that one layer may lose several and another none.
    Raises `BadInput` if nothing would be removed, or if no sublayer has a single matrix that writes its output.
    """
    kind = "mlp" if part.method is Method.NEURONS else "attn"
    parts = [sublayer.part for sublayer in twin.anatomy.sublayers if sublayer.part.kind == kind]
    there = {one.layer for one in parts if not twin.is_dropped(one)}
    check_targets(part, (), there)
    meant = sorted(there & set(part.targets.layers or there))
    found = _sublayers(twin, part, kind)
    what = "MLP" if kind == "mlp" else "attention"
    if not found:
        raise BadInput("Nothing to prune", f"{part} finds no {what} whose output one matrix writes.", _instead(twin))
    left = sorted(set(meant) - {sublayer.block.layer for sublayer in found})
    notes = (
        f"{part} prunes {len(found)} of {len(meant)} {what}s. In layers {ranges(left)} no single matrix writes the "
        f"{what}'s output, as in a mixture of experts, so these stay whole.",
    )
    assert isinstance(part.amount, Ratio)
    thin = _neurons if kind == "mlp" else _heads
    return thin(twin, part, part.amount.value, found, samples, work), notes if left else ()


def _instead(twin: Twin) -> str:
    if experts_in(twin.anatomy.unreachable):
        return "Neurons of experts can't be pruned: drop MLPs or blocks (drop-mlp, drop-block), or choose other layers."
    return "Choose other layers, or a method that prunes single weights."


def _sublayers(twin: Twin, part: SettingPart, kind: str) -> list[_Sublayer]:
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
    twin: Twin, part: SettingPart, ratio: float, found: Sequence[_Sublayer], samples: Callable[[], Tensor], work: Work
) -> list[FeatureMask]:
    counts = {sublayer.block.layer: removed(ratio, twin.shape(sublayer.writes.name)[1]) for sublayer in found}
    if not any(counts.values()):
        raise _too_few(part, "neurons", twin.shape(found[0].writes.name)[1])
    norms = Norms()
    with watched(twin.model, [sublayer.writes.name for sublayer in found], norms.see):
        stream(twin.model, samples(), work=work, task="Measuring what each neuron adds")
    rows: dict[tuple[object, ...], Tensor | None] = {}
    result = []
    for sublayer in found:
        weight = twin.weight(sublayer.writes.name)
        adds = norms.norms(sublayer.writes.name).to(weight.device) * weight.float().norm(dim=0)
        check_finite(adds, sublayer.writes.name)
        kept = keep_highest(adds.unsqueeze(0), counts[sublayer.block.layer])[0]
        result.append(FeatureMask(sublayer.writes.name, kept.expand(weight.shape)))
        for matrix in sublayer.makes:
            like = (sublayer.local(matrix), weight.shape, twin.shape(matrix.name))
            if like not in rows:
                rows[like] = neurons_of_rows(twin, sublayer.writes, matrix)
            if (neuron := rows[like]) is not None:
                result.append(_by_rows(twin, matrix, kept[neuron.to(kept.device)]))
    return result


def _heads(
    twin: Twin, part: SettingPart, ratio: float, found: Sequence[_Sublayer], samples: Callable[[], Tensor], work: Work
) -> list[FeatureMask]:
    layouts = _layouts(twin, found)
    pairs = [(sublayer, group) for sublayer in found for group in layouts[sublayer.block.layer].groups]
    count = removed(ratio, len(pairs))
    if not count:
        raise _too_few(part, "groups of heads", len(pairs))
    shares = _shares(twin, layouts, found, samples, work)
    order = sorted(range(len(pairs)), key=lambda number: shares[number])
    gone: dict[int, set[int]] = {}
    for number in order[:count]:
        sublayer, group = pairs[number]
        gone.setdefault(sublayer.block.layer, set()).update(group)
    result = []
    for sublayer in found:
        lost = gone.get(sublayer.block.layer)
        if not lost:
            continue
        layout = layouts[sublayer.block.layer]
        weight = twin.weight(sublayer.writes.name)
        kept = ~torch.isin(torch.arange(weight.shape[1]) // layout.size, torch.tensor(sorted(lost)))
        result.append(FeatureMask(sublayer.writes.name, kept.to(weight.device).expand(weight.shape)))
        for matrix in sublayer.makes:
            if served := layout.served.get(sublayer.local(matrix)):
                stays = torch.tensor([not heads_served or not heads_served <= lost for heads_served in served])
                if not stays.all():
                    result.append(_by_rows(twin, matrix, stays.repeat_interleave(layout.size)))
    return result


def _layouts(twin: Twin, found: Sequence[_Sublayer]) -> dict[int, Heads]:
    """The heads of each attention, by layer, with matrices by their names within the block.

    They are found once for all attentions of one shape. Raises `BadInput` if an attention has no separate heads, or
    reads the keys and values of another attention.
    """
    known: dict[tuple[object, ...], Heads] = {}
    result = {}
    made = [{sublayer.local(matrix) for matrix in sublayer.makes} for sublayer in found]
    for sublayer, names in zip(found, made, strict=True):
        like = tuple((sublayer.local(m), twin.shape(m.name)) for m in (sublayer.writes, *sublayer.makes))
        if like not in known:
            layout = heads(twin, sublayer.writes, sublayer.makes)
            if layout is None or any(names < others for others in made):
                raise BadInput(
                    "Heads",
                    f"The attention of layer {sublayer.block.layer} does not divide into heads of its own.",
                    "Use neurons or drop-attn, or choose other layers.",
                )
            local = {name.removeprefix(sublayer.block.name): served for name, served in layout.served.items()}
            known[like] = replace(layout, served=local)
        result[sublayer.block.layer] = known[like]
    return result


def _shares(
    twin: Twin,
    layouts: Mapping[int, Heads],
    found: Sequence[_Sublayer],
    samples: Callable[[], Tensor],
    work: Work,
) -> list[float]:
    """‖X_g W_gᵀ‖²_F / ‖X Wᵀ‖²_F of every group of every sublayer, in that order."""
    columns = {
        sublayer.writes.name: [
            torch.tensor([h * layout.size + i for h in group for i in range(layout.size)]) for group in layout.groups
        ]
        for sublayer in found
        for layout in (layouts[sublayer.block.layer],)
    }
    added = {name: [0.0] * (len(groups) + 1) for name, groups in columns.items()}

    def see(name: str, inputs: Tensor) -> None:
        weight = twin.weight(name).float()
        x = inputs.float()
        for number, features in enumerate((*columns[name], torch.arange(x.shape[1]))):
            added[name][number] += float(to_float64((x[:, features] @ weight[:, features].T).square()).sum())

    with watched(twin.model, list(added), see):
        stream(twin.model, samples(), work=work, task="Measuring what each head adds")
    for name, sums in added.items():
        check_finite(torch.tensor(sums), name)
    return [one / sums[-1] if sums[-1] else 0.0 for sums in added.values() for one in sums[:-1]]


def _by_rows(twin: Twin, matrix: Matrix, kept: Tensor) -> FeatureMask:
    weight = twin.weight(matrix.name)
    return FeatureMask(matrix.name, kept.to(weight.device).unsqueeze(1).expand(weight.shape))


def _too_few(part: SettingPart, what: str, number: int) -> BadInput:
    sentence = f"{part} removes nothing: {part.amount} of {number} {what} rounds to zero."
    return BadInput("Nothing removed", sentence, f"Use a ratio of at least {1 / number + 0.0005:.3f}.")
