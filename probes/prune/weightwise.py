"""Carries out methods that choose single weights, all in one walk through the blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.calibration.samples import CalibrationSamples
from probes.prune import criteria
from probes.prune.activations import Hessians, NormCache, Norms
from probes.prune.allocation import MatrixAmount, matrix_amounts, targeted_matrices
from probes.prune.block_walk import RunBlock, walk_blocks
from probes.prune.global_threshold import Threshold, global_threshold
from probes.prune.sparsegpt import inverse_factor, sparsegpt
from probes.prune.streamed_norms import StreamedNorms
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, Pattern, Ratio, SettingPart
from probes.system.memory import release
from probes.system.progress import Work
from probes.twin.anatomy import Block
from probes.twin.twin import Twin
from probes.twin.twin_state import count_kept

_WALKED = (Method.WANDA, Method.SPARSEGPT)
"""Methods calibrated on the already pruned blocks."""


def prune_weights(
    twin: Twin, parts: Sequence[SettingPart], samples: Callable[[], CalibrationSamples], seed: int, work: Work
) -> list[str]:
    """Carries out neighbouring weight-wise parts on the twin; returns notes.

    Each matrix starts from its dense weights, without removed neurons and heads; earlier weight-wise parts do not
    count. If several of these parts target a matrix, the last one decides. Within a block all activations are measured
    before any of its weights are removed. Raises `BadInput` if a part matches or removes nothing.
    """
    targets = (m for part in parts for m in targeted_matrices(part, twin.in_use, twin.anatomy.unreachable))
    for name in dict.fromkeys(matrix.name for matrix in targets):
        twin.restore_unstructured(name)
    streamed = StreamedNorms(twin, samples, work)
    amounts = matrix_amounts(parts, twin.in_use, streamed.wanda_scores)
    plan = _Plan(twin, amounts, _thresholds(twin, parts, amounts), seed, work)
    onepass = [name for name, one in amounts.items() if one.part.method is Method.WANDA_ONEPASS]
    inputs = _Inputs(streamed.norms(onepass) if onepass else {})
    notes: list[str] = []
    removed: dict[str, _Removed] = {}
    last = max((one.matrix.layer for one in amounts.values() if one.part.method in _WALKED), default=-1)
    if last >= 0:
        removed, notes = _walk(plan, samples().ids, inputs, last, streamed.depends_on())
    for layer in {one.matrix.layer: None for one in amounts.values() if one.matrix.layer > last}:
        work.report(plan.task, layer, len(twin.anatomy.blocks), "layers")
        removed |= plan.prune_layer(layer, inputs)
    return [*streamed.notes, *notes, *_notes(parts, amounts, removed)]


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Statistics of the inputs of matrices, by matrix."""

    norms: Mapping[str, Tensor]
    """‖x_j‖₂ of each input, for Wanda."""
    factors: Mapping[str, tuple[Tensor, Tensor]] | None = None
    """The inverse factor of the Hessian and the inputs that were always 0, for SparseGPT."""


@dataclass(frozen=True, slots=True)
class _Removed:
    """The result of pruning one matrix."""

    weights: int
    """How many were removed, without those of removed neurons and heads."""
    beyond: bool = False
    """More than was asked for, because some of its inputs were always 0."""


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The amount to remove from each matrix, and everything else that choosing its weights needs, except its inputs."""

    twin: Twin
    amounts: Mapping[str, MatrixAmount]
    thresholds: Mapping[str, Threshold]
    """By part, for magnitude-global."""
    seed: int
    work: Work

    @property
    def task(self) -> str:
        return f"Pruning by {' and '.join(dict.fromkeys(str(one.part.method) for one in self.amounts.values()))}"

    def of_layer(self, layer: int) -> list[MatrixAmount]:
        return [one for one in self.amounts.values() if one.matrix.layer == layer]

    def prune_layer(self, layer: int, inputs: _Inputs) -> dict[str, _Removed]:
        """Prunes all matrices of a layer that the plan names."""
        self.work.check(self.task)
        removed = {one.matrix.name: self._prune(one, inputs) for one in self.of_layer(layer)}
        release()
        return removed

    def _prune(self, one: MatrixAmount, inputs: _Inputs) -> _Removed:
        name = one.matrix.name
        if one.part.method is not Method.SPARSEGPT:
            return _Removed(self._mask(name, self._kept(one, inputs.norms)))
        assert inputs.factors is not None, "a walk measures them"
        corrected = _corrected(self.twin.starting_weight(name), inputs.factors[name], one)
        zeros = corrected.numel() - int(torch.count_nonzero(corrected))
        return _Removed(self._replace(name, corrected), zeros > _meant(one.amount) * corrected.numel() + 1)

    def _replace(self, name: str, weight: Tensor) -> int:
        """Replaces a matrix by its corrected weights; returns how many more of them are 0 than before."""
        removed = int(torch.count_nonzero(self.twin.starting_weight(name))) - int(torch.count_nonzero(weight))
        if removed > 0:
            self.twin.replace(name, weight)
        return removed

    def _mask(self, name: str, keep: Tensor) -> int:
        """Masks a matrix; returns how many weights were removed, without those of neurons or heads removed before."""
        if bool(keep.all()):
            return 0
        size, before = keep.numel(), self.twin.state.changes.get(name)
        self.twin.mask(name, keep)
        after = self.twin.state.changes[name]
        return (size if before is None else count_kept(before.kept, size)) - count_kept(after.kept, size)

    def _kept(self, one: MatrixAmount, norms: Mapping[str, Tensor]) -> Tensor:
        """The mask of a matrix that is not corrected."""
        name, method, amount = one.matrix.name, one.part.method, one.amount
        weight = self.twin.starting_weight(name)
        by_norms = method in (Method.WANDA, Method.WANDA_ONEPASS)
        if by_norms:
            scores = criteria.wanda(weight, norms[name])
        elif method is Method.RANDOM:
            scores = criteria.random(weight, name, self.seed)
        else:
            scores = criteria.magnitude(weight)
        criteria.check_finite(scores, name)
        if isinstance(amount, Pattern):
            return criteria.keep_pattern(scores, amount)
        if method is Method.MAGNITUDE_GLOBAL:
            return self.thresholds[str(one.part)].keep(name, scores)
        return (criteria.keep_in_rows if by_norms else criteria.keep_in_matrix)(scores, amount.value)


def _walk(plan: _Plan, ids: Tensor, inputs: _Inputs, last: int, begin: str) -> tuple[dict[str, _Removed], list[str]]:
    """Prunes the blocks up to layer `last`, each on the activations of the already pruned blocks before it.

    `begin` is the key of the activations before anything is removed.
    """
    cache = NormCache.of(plan.twin.dense)
    upstream = hashlib.sha256(begin.encode())
    removed: dict[str, _Removed] = {}
    reused: list[int] = []

    def visit(block: Block, run: RunBlock) -> None:
        here = plan.of_layer(block.layer)
        wanda = [one.matrix.name for one in here if one.part.method is Method.WANDA]
        key = f"walk {upstream.hexdigest()} {block.layer}"
        known = cache.recall(key, wanda)
        norms, factors = _measured(here, run, known)
        if known is None:
            cache.keep(key, norms)
        elif wanda:
            reused.append(block.layer)
        removed.update(plan.prune_layer(block.layer, _Inputs({**inputs.norms, **norms}, factors)))
        for one in here:
            # The key includes the amount and the resulting mask: a mask may depend on other matrices, and a corrected
            # weight depends on its mask and on everything pruned before.
            change = plan.twin.state.changes.get(one.matrix.name)
            upstream.update(f"{one} {one.amount!r} {change is None}".encode())
            upstream.update(b"" if change is None else change.kept.tobytes())

    walk_blocks(plan.twin.model, plan.twin.anatomy, ids, visit, last=last, work=plan.work, task=plan.task)
    if not reused:
        return removed, []
    return removed, [
        f"The activations of {len(reused)} of {last + 1} blocks were measured before and reused; the others "
        "depend on how the blocks before them are pruned."
    ]


def _measured(
    here: Sequence[MatrixAmount], run: RunBlock, known: Mapping[str, Tensor] | None
) -> tuple[Mapping[str, Tensor], dict[str, tuple[Tensor, Tensor]]]:
    """The norms, unless they are known, and the factors that the methods of a block need."""
    wanda = [one.matrix.name for one in here if one.part.method is Method.WANDA]
    gpt = [one.matrix.name for one in here if one.part.method is Method.SPARSEGPT]
    norms, hessians = Norms(), Hessians()
    see = dict.fromkeys(wanda if known is None else (), norms.see) | dict.fromkeys(gpt, hessians.see)
    if see:
        run(list(see), lambda name, inputs: see[name](name, inputs))
    if known is None:
        known = {name: norms.norms(name) for name in wanda}
    return known, _factors(hessians, gpt)


def _factors(hessians: Hessians, names: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """The inverse factors by matrix; matrices with the same inputs share one."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        reader = hessians.readers(name)
        if reader not in found:
            found[reader] = inverse_factor(hessians.take(reader), reader)
        found[name] = found[reader]
    return found


def _corrected(weight: Tensor, factor: tuple[Tensor, Tensor], one: MatrixAmount) -> Tensor:
    criteria.check_finite(weight, one.matrix.name)
    inverse, dead = factor
    return sparsegpt(torch.where(dead.to(weight.device), 0, weight), inverse, one.amount).to(weight.dtype)


def _thresholds(twin: Twin, parts: Sequence[SettingPart], amounts: Mapping[str, MatrixAmount]) -> dict[str, Threshold]:
    found = {}
    for part in parts:
        mine = [name for name, one in amounts.items() if one.part is part]
        if part.method is Method.MAGNITUDE_GLOBAL and isinstance(part.amount, Ratio) and mine:
            scores = {name: lambda name=name: criteria.magnitude(twin.starting_weight(name)) for name in mine}
            found[str(part)] = global_threshold(scores, part.amount.value)
    return found


def _meant(amount: Ratio | Pattern) -> float:
    """The share of a matrix's weights that an amount removes."""
    return amount.value if isinstance(amount, Ratio) else 1 - amount.keep / amount.group


def _notes(
    parts: Sequence[SettingPart], amounts: Mapping[str, MatrixAmount], removed: Mapping[str, _Removed]
) -> list[str]:
    """Notes on parts that removed less or more than they say. Raises `BadInput` if one removed nothing."""
    notes: list[str] = []
    for part in parts:
        mine = [name for name, one in amounts.items() if one.part is part]
        if not mine:
            notes.append(f"{part} decides nothing: later parts target all of its matrices.")
            continue
        untouched = [name for name in mine if not removed[name].weights]
        if len(untouched) == len(mine):
            raise BadInput("Nothing removed", f"{part} removes no weight.", "Use a larger amount.")
        if untouched:
            more = ", …" if len(untouched) > 1 else "."
            notes.append(f"{part} removes nothing from {len(untouched)} of {len(mine)} matrices: {untouched[0]}{more}")
        if beyond := [name for name in mine if removed[name].beyond]:
            notes.append(
                f"{part} removes more than its share from {len(beyond)} of {len(mine)} matrices "
                f"({beyond[0]}{', …' if len(beyond) > 1 else ''}): "
                "all weights of inputs that are 0 throughout the calibration text are removed."
            )
    return notes
