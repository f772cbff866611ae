"""Methods that decide each weight for itself, carried out together: one walk through the blocks for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from secrets import token_hex

import torch
from torch import Tensor

from probes.calibration.samples import CalibrationSamples
from probes.prune import criteria
from probes.prune.activations import Hessians, NormCache, Norms
from probes.prune.allocation import MatrixAmount, matrix_amounts, targeted_matrices
from probes.prune.block_walk import RunBlock, stream, walk_blocks, watched
from probes.prune.global_threshold import Threshold, global_threshold
from probes.prune.sparsegpt import inverse_factor, sparsegpt
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, Pattern, Ratio, SettingPart
from probes.system.memory import release
from probes.system.progress import Work
from probes.twin.anatomy import Block, Matrix
from probes.twin.twin import Twin
from probes.twin.twin_state import count_kept

_WALKED = (Method.WANDA, Method.SPARSEGPT)
"""What sees the activations of the blocks before it as they have become."""


def prune_weights(
    twin: Twin, parts: Sequence[SettingPart], samples: Callable[[], CalibrationSamples], seed: int, work: Work
) -> list[str]:
    """Carries out neighbouring weight-wise parts on the twin; sentences worth noting.

    Each matrix starts from its dense weights, whatever an earlier part did to it, but for whole neurons and heads
    that went. Where several of these parts speak of a matrix, the last decides. Within a block all activations are
    measured before any of its weights go. Raises `BadInput` where a part matches or removes nothing.
    """
    targets = (m for part in parts for m in targeted_matrices(part, twin.in_use, twin.anatomy.unreachable))
    for name in dict.fromkeys(matrix.name for matrix in targets):
        twin.restore_unstructured(name)
    return _Pruning(twin, parts, samples, seed, work).carried_out()


class _Pruning:
    def __init__(
        self, twin: Twin, parts: Sequence[SettingPart], samples: Callable[[], CalibrationSamples], seed: int, work: Work
    ) -> None:
        self._twin = twin
        self._parts = parts
        self._samples = samples
        self._seed = seed
        self._work = work
        self._memory = NormCache.of(twin.dense)
        self._notes: list[str] = []
        self._removed: dict[str, dict[str, int]] = {str(part): {} for part in parts}
        """By part, how many weights went from each of its matrices."""
        self._shares = matrix_amounts(parts, twin.in_use, self._dense_scores)
        self._norms: dict[str, Tensor] = {}
        """‖x_j‖₂ of the inputs of each matrix that Wanda decides, once it is known."""
        self._factors: dict[str, tuple[Tensor, Tensor]] = {}
        """By matrix, for SparseGPT, of the block at hand."""
        self._beyond: dict[str, list[str]] = {str(part): [] for part in parts}
        """By part, the matrices that lost more than their share, because inputs of theirs never spoke."""
        self._thresholds: dict[str, Threshold] = {}
        """By part, for magnitude-global."""

    def carried_out(self) -> list[str]:
        self._set_thresholds()
        onepass = [name for name, share in self._shares.items() if share.part.method is Method.WANDA_ONEPASS]
        if onepass:
            self._norms |= self._streamed(onepass)
        walked = [share.matrix.layer for share in self._shares.values() if share.part.method in _WALKED]
        done = self._walk(max(walked)) if walked else -1
        for layer in {share.matrix.layer: None for share in self._shares.values() if share.matrix.layer > done}:
            self._work.tell(self._task, layer, len(self._twin.anatomy.blocks), "layers")
            self._prune_layer(layer)
        self._check()
        return self._notes

    def _walk(self, last: int) -> int:
        ids = self._samples().ids
        upstream = hashlib.sha256(self._start().encode())
        reused: list[int] = []

        def visit(block: Block, run: RunBlock) -> None:
            here = self._of_layer(block.layer)
            wanda = [share.matrix.name for share in here if share.part.method is Method.WANDA]
            gpt = [share.matrix.name for share in here if share.part.method is Method.SPARSEGPT]
            key = f"walk {upstream.hexdigest()} {block.layer}"
            known = self._memory.recall(key, wanda)
            norms, hessians = Norms(), Hessians()
            see = dict.fromkeys(wanda if known is None else (), norms.see) | dict.fromkeys(gpt, hessians.see)
            if see:
                run(list(see), lambda name, inputs: see[name](name, inputs))
            if known is None:
                known = {name: norms.norms(name) for name in wanda}
                self._memory.keep(key, known)
            elif wanda:
                reused.append(block.layer)
            self._norms |= known
            self._factors = _factors(hessians, gpt)
            self._prune_layer(block.layer)
            self._factors = {}
            for share in here:
                # What was asked for and what became of it: a mask may hang on more than its own matrix, and a
                # corrected weight follows from its mask and all that is further up.
                change = self._twin.state.changes.get(share.matrix.name)
                upstream.update(f"{share} {share.amount!r} {change is None}".encode())
                upstream.update(b"" if change is None else change.kept.tobytes())

        walk_blocks(self._twin.model, self._twin.anatomy, ids, visit, last=last, work=self._work, task=self._task)
        if reused:
            self._notes.append(
                f"The activations of {len(reused)} of {last + 1} blocks were measured before and reused; those further "
                "on depend on how the blocks before them are pruned."
            )
        return last

    def _streamed(self, names: list[str]) -> dict[str, Tensor]:
        """Norms on the model as it is before anything of this goes."""
        key = f"once {self._start()}"
        known = self._memory.recall(key, names)
        if known is not None:
            self._notes.append(
                "The activations were measured before and reused: one pass measures them for any amount."
            )
            return dict(known)
        norms = Norms()
        with watched(self._twin.model, names, norms.see):
            stream(self._twin.model, self._samples().ids, work=self._work, task="Measuring activations")
        found = {name: norms.norms(name) for name in names}
        self._memory.keep(key, found)
        return found

    def _start(self) -> str:
        """What the activations depend on before anything of this goes."""
        state = self._twin.state
        # A replaced weight has no name of its own; what is measured behind one is not remembered.
        replaced = any(change.weight is not None for change in state.changes.values())
        return f"{self._samples().info.sha256} {state.hash} {token_hex() if replaced else ''}"

    def _dense_scores(self, matrices: Sequence[Matrix]) -> Iterator[Tensor]:
        norms = self._streamed([matrix.name for matrix in matrices])
        for matrix in matrices:
            scores = criteria.wanda(self._twin.starting_weight(matrix.name), norms[matrix.name])
            criteria.check_finite(scores, matrix.name)
            yield scores

    def _set_thresholds(self) -> None:
        for part in self._parts:
            mine = [share.matrix.name for share in self._shares.values() if share.part is part]
            if part.method is Method.MAGNITUDE_GLOBAL and isinstance(part.amount, Ratio) and mine:
                scores = {name: lambda name=name: self._magnitude(name) for name in mine}
                self._thresholds[str(part)] = global_threshold(scores, part.amount.value)

    @property
    def _task(self) -> str:
        return f"Pruning by {' and '.join(dict.fromkeys(str(share.part.method) for share in self._shares.values()))}"

    def _of_layer(self, layer: int) -> list[MatrixAmount]:
        return [share for share in self._shares.values() if share.matrix.layer == layer]

    def _prune_layer(self, layer: int) -> None:
        here = self._of_layer(layer)
        self._work.check(self._task)
        for share in here:
            name = share.matrix.name
            if share.part.method is Method.SPARSEGPT:
                corrected = self._corrected(share)
                if (
                    corrected.numel() - int(torch.count_nonzero(corrected))
                    > _meant(share.amount) * corrected.numel() + 1
                ):
                    self._beyond[str(share.part)].append(name)
                removed = self._replace(name, corrected)
            else:
                removed = self._mask(name, self._kept(share))
            self._removed[str(share.part)][name] = removed
        release()

    def _replace(self, name: str, weight: Tensor) -> int:
        """Gives a matrix its corrected weights; how many more of them are 0 than before."""
        base = self._twin.starting_weight(name)
        removed = int(torch.count_nonzero(base)) - int(torch.count_nonzero(weight))
        if removed > 0:
            self._twin.replace(name, weight)
        return removed

    def _mask(self, name: str, keep: Tensor) -> int:
        """Masks a matrix; how many weights go that no neuron or head had taken with it."""
        if bool(keep.all()):
            return 0
        size, before = keep.numel(), self._twin.state.changes.get(name)
        self._twin.mask(name, keep)
        after = self._twin.state.changes[name]
        return (size if before is None else count_kept(before.kept, size)) - count_kept(after.kept, size)

    def _kept(self, share: MatrixAmount) -> Tensor:
        name, method = share.matrix.name, share.part.method
        if method in (Method.WANDA, Method.WANDA_ONEPASS):
            scores = criteria.wanda(self._twin.starting_weight(name), self._norms[name])
        elif method is Method.RANDOM:
            scores = criteria.random(self._twin.starting_weight(name), name, self._seed)
        else:
            scores = self._magnitude(name)
        criteria.check_finite(scores, name)
        if isinstance(share.amount, Pattern):
            return criteria.keep_pattern(scores, share.amount)
        if method is Method.MAGNITUDE_GLOBAL:
            return self._thresholds[str(share.part)].keep(name, scores)
        in_rows = method in (Method.WANDA, Method.WANDA_ONEPASS)
        return (criteria.keep_in_rows if in_rows else criteria.keep_in_matrix)(scores, share.amount.value)

    def _corrected(self, share: MatrixAmount) -> Tensor:
        name = share.matrix.name
        factor, dead = self._factors[name]
        base = self._twin.starting_weight(name)
        criteria.check_finite(base, name)
        return sparsegpt(torch.where(dead.to(base.device), 0, base), factor, share.amount).to(base.dtype)

    def _magnitude(self, name: str) -> Tensor:
        return criteria.magnitude(self._twin.starting_weight(name))

    def _check(self) -> None:
        for part in self._parts:
            mine = [share for share in self._shares.values() if share.part is part]
            if not mine:
                self._notes.append(f"{part} decides nothing: the parts after it speak of all its matrices.")
                continue
            untouched = [name for name, count in self._removed[str(part)].items() if not count]
            if len(untouched) == len(mine):
                raise BadInput("Nothing removed", f"{part} removes no weight.", "Use a larger amount.")
            if untouched:
                few = f"{len(untouched)} of {len(mine)} matrices"
                more = ", …" if len(untouched) > 1 else "."
                self._notes.append(f"{part} removes nothing from {few}: {untouched[0]}{more}")
            if beyond := self._beyond[str(part)]:
                few = f"{len(beyond)} of {len(mine)} matrices ({beyond[0]}{', …' if len(beyond) > 1 else ''})"
                self._notes.append(
                    f"{part} removes more than its share from {few}: "
                    "inputs that are 0 throughout the calibration text are removed whole, and zeros stay zeros."
                )


def _meant(amount: Ratio | Pattern) -> float:
    """The share of a matrix's weights that an amount removes."""
    return amount.value if isinstance(amount, Ratio) else 1 - amount.keep / amount.group


def _factors(hessians: Hessians, names: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """One inverse for all matrices that read the same."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        reader = hessians.readers(name)
        if reader not in found:
            found[reader] = inverse_factor(hessians.take(reader), reader)
        found[name] = found[reader]
    return found
