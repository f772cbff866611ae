"""A pruned model that shares every untouched tensor with the dense one.

Dropping a sublayer needs no memory, and masking only that of the masked matrices. Restoring uses the dense tensor or
module itself, so it is bit-exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.offloaded import device_of, is_offloaded, mapped, replace_offloaded, restore_offloaded, weight_of
from probes.schema.errors import BadInput, Failure
from probes.schema.part import BLOCK, SUBLAYERS, Part
from probes.schema.prune_setting import ranges
from probes.system.memory import free_in_background
from probes.twin.anatomy import Anatomy, Matrix, dissect
from probes.twin.dropping import Replacements, replace_modules, replacements
from probes.twin.sharing import sharing_copy
from probes.twin.twin_state import Bits, MatrixChange, TwinState, packed, unpacked

_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The whole numbers that have as many bytes as a weight."""


class Twin:
    """The dense model and its pruned twin; every change of the twin goes through here.

    Matrices are named by their module path. Weights that a device map keeps off the device are pruned whenever they
    are moved in, so a mask takes a bit a weight. Not safe to be changed while another thread runs the model.
    """

    def __init__(self, dense: PreTrainedModel) -> None:
        self.dense = dense
        self.anatomy: Anatomy = dissect(dense)
        self.model = sharing_copy(dense)
        self._matrices = {matrix.name: matrix for matrix in self.anatomy.matrices}
        self._dense_modules = dict(dense.named_modules())
        self._own = dict(self.model.named_modules())
        """The twin's own modules by path, even if they are replaced now."""
        self._replaced: dict[str, nn.Module] = {}
        """The modules that dropping took out of the graph, by path."""
        self._known_replacements: Replacements | None = None
        self._dense_zeros: dict[str, int] = {}
        """Zeros by dense matrix, counted on first use."""
        self._state = TwinState()

    # Matrices -------------------------------------------------------------------------------------------------

    def dense_weight(self, name: str) -> Tensor:
        """The dense matrix, (outputs, inputs): a view of the dense model's own tensor, or a copy of one that a device
        map keeps elsewhere."""
        return self._as_rows(name, weight_of(self._dense_modules[name]))

    def weight(self, name: str) -> Tensor:
        """The twin's matrix as it is now, (outputs, inputs), even while its sublayer is dropped."""
        return self._as_rows(name, weight_of(self._own[name]))

    def shape(self, name: str) -> torch.Size:
        """(outputs, inputs) of a matrix, without reading its weights."""
        return self._as_rows(name, self._dense_modules[name].get_parameter("weight")).shape

    def element_size(self, name: str) -> int:
        """Bytes of one weight of a matrix."""
        size: int = self._dense_modules[name].get_parameter("weight").dtype.itemsize
        return size

    def device(self, name: str) -> torch.device:
        """The device that a matrix is computed with."""
        return device_of(self._dense_modules[name])

    def is_offloaded(self, name: str) -> bool:
        """Does a device map keep the weights of a matrix elsewhere while it does not run?"""
        return is_offloaded(self._dense_modules[name])

    def mask(self, name: str, keep: Tensor) -> None:
        """Sets the dense matrix with zeros where `keep`, (outputs, inputs), is False or `remove_features` put them.

        Raises `BadInput` if a device map moves the weight in with those of other modules.
        """
        features = self._feature_mask(name)
        kept = keep if features is None else keep & features
        self._change(name, MatrixChange(packed(kept), feature_mask=self._feature_bits(name)))

    def replace(self, name: str, weight: Tensor) -> None:
        """Replaces a matrix by another weight, (outputs, inputs), with zeros where `remove_features` put them.

        The tensor is the twin's from now on. Raises ValueError if shape or dtype differ from the dense matrix's.
        """
        dense, features = self.dense_weight(name), self._feature_mask(name)
        if weight.shape != dense.shape or weight.dtype != dense.dtype:
            raise ValueError(f"{name} can't be given a {tuple(weight.shape)} weight of {weight.dtype}")
        weight = weight.detach() if features is None else torch.where(features, weight.detach(), 0)
        self._change(name, MatrixChange(packed(weight != 0), self.stored(name, weight), self._feature_bits(name)))

    def remove_features(self, name: str, keep: Tensor) -> None:
        """Zeroes whole features of the present matrix; a later `mask` or `replace` keeps these zeros."""
        features = self._feature_mask(name)
        bits = packed(keep if features is None else keep & features)
        weight = torch.where(keep, self.weight(name), 0)
        before = self._state.changes.get(name)
        if before is None or before.weight is None:
            kept = keep if before is None else keep & self._unpacked(name, before.kept)
            change = MatrixChange(packed(kept), feature_mask=bits)
        else:
            change = MatrixChange(packed(weight != 0), self.stored(name, weight), bits)
        self._change(name, change)

    def stored(self, name: str, weight: Tensor) -> nn.Parameter:
        """A matrix, (outputs, inputs), as a parameter in the layout this one is stored in; on the disk if the dense one
        is offloaded."""
        weight = self._as_rows(name, weight).contiguous()
        return nn.Parameter(mapped(weight) if self.is_offloaded(name) else weight, requires_grad=False)

    def restore_unstructured(self, name: str) -> None:
        """Restores all dense weights of a matrix but those that `remove_features` zeroed."""
        features = self._feature_mask(name)
        if features is not None:
            self.mask(name, features)
        elif name in self._state.changes:
            self._restore_dense(name)

    def starting_weight(self, name: str) -> Tensor:
        """The weights a method starts from: the dense matrix, (outputs, inputs), without removed features."""
        dense, features = self.dense_weight(name), self._feature_mask(name)
        return dense if features is None else torch.where(features, dense, 0)

    # Sublayers ------------------------------------------------------------------------------------------------

    def drop(self, *parts: Part) -> None:
        """Drops sublayers or blocks: the residual stream passes them unchanged.

        Raises `BadInput` if there is no such sublayer or it is dropped already, and `Failure` if the stream would not
        pass unchanged in this architecture.
        """
        for part in parts:
            self._check(part)
        self._set_dropped(self._state.dropped | set(parts))

    def droppable(self, kind: str) -> tuple[Part, ...]:
        """All parts of a kind ("attn", "mlp", "block") that can be dropped from this architecture, in layer order."""
        parts = (Part(kind, block.layer) for block in self.anatomy.blocks)
        return tuple(part for part in parts if part in self._replacements)

    def is_dropped(self, part: Part) -> bool:
        """Is the part dropped, or the block that it is in?"""
        return part.in_any(self._state.dropped)

    @property
    def dropped_parameters(self) -> int:
        """How many parameters of the dense model are in dropped parts of the twin."""
        used = {id(parameter) for parameter in self.dense.parameters()}
        paths = {path for part in self._state.dropped for path in self._replacements[part]}
        gone = {id(p): p.numel() for path in paths for p in self.dense.get_submodule(path).parameters()}
        return sum(size for key, size in gone.items() if key in used)

    @property
    def in_use(self) -> tuple[Matrix, ...]:
        """The matrices that run: those of no dropped sublayer."""
        return tuple(m for m in self.anatomy.matrices if not self.is_dropped(Part(m.sublayer, m.layer)))

    # Back and forth -------------------------------------------------------------------------------------------

    @property
    def state(self) -> TwinState:
        """The present difference from the dense model; `set_state` returns to it."""
        return self._state

    def set_state(self, state: TwinState) -> None:
        """Brings the twin exactly into this state."""
        self._restore_dense(*self._state.changes.keys() - state.changes.keys())
        for name, change in state.changes.items():
            if change is not self._state.changes.get(name):
                self._change(name, change)
        self._set_dropped(state.dropped)

    def restore(self, *what: str | Part) -> None:
        """Restores matrices (by name), sublayers and blocks; without arguments, everything.

        Raises `BadInput` if one of them is the dense model's already.
        """
        same = [name for name in what if name not in self._state.changes and name not in self._state.dropped]
        if same:
            raise BadInput(
                "Nothing to restore", f"{same[0]} is already dense.", "Name pruned matrices or dropped sublayers."
            )
        changes = {name: change for name, change in self._state.changes.items() if what and name not in what}
        self.set_state(TwinState(changes, self._state.dropped - set(what) if what else frozenset()))

    def dense_zeros(self, name: str) -> int:
        """How many zeros a matrix has in the dense model."""
        if name not in self._dense_zeros:
            self._dense_zeros[name] = count_zeros(self.dense_weight(name))
        return self._dense_zeros[name]

    # Helpers --------------------------------------------------------------------------------------------------

    def _change(self, name: str, change: MatrixChange) -> None:
        before, device = self._state.changes.get(name), self.device(name)
        if self.is_offloaded(name):
            replace_offloaded(self._own[name], lambda: self._pruned(name, change))
        elif change.weight is not None:
            weight = change.weight
            if weight.device != device:  # it waited on the host
                weight = nn.Parameter(weight.detach().to(device), requires_grad=False)
            self._own[name].weight = weight
        else:
            if before is None or before.weight is not None:
                mine = torch.empty_like(weight_of(self._dense_modules[name]))
                self._own[name].weight = nn.Parameter(mine, requires_grad=False)
            self._mask_into(self._as_rows(name, weight_of(self._own[name])).data, name, change.kept)
        self._state = replace(self._state, changes={**self._state.changes, name: change})

    def _pruned(self, name: str, change: MatrixChange) -> Tensor:
        """The stored weight of an offloaded matrix with its change."""
        return change.weight if change.weight is not None else self._as_rows(name, self._masked(name, change.kept))

    def _masked(self, name: str, kept: Bits) -> Tensor:
        found = torch.empty_like(self.dense_weight(name))
        self._mask_into(found, name, kept)
        return found

    def _mask_into(self, target: Tensor, name: str, kept: Bits) -> None:
        # A product of the bits, taken as whole numbers: 0 times infinity is NaN, and `where` takes four times as long.
        whole = _WHOLE[target.element_size()]
        torch.mul(self.dense_weight(name).view(whole), self._unpacked(name, kept), out=target.view(whole))

    def _restore_dense(self, *names: str) -> None:
        if not names:
            return
        gone: list[object] = [self._own[name].weight for name in names]
        for name in names:
            if self.is_offloaded(name):
                restore_offloaded(self._own[name])
            else:
                self._own[name].weight = self._dense_modules[name].weight
        given = set(names)
        rest = {name: change for name, change in self._state.changes.items() if name not in given}
        self._state = replace(self._state, changes=rest)
        if self.dense.device.type == "cpu":
            free_in_background(gone)

    def _feature_bits(self, name: str) -> Bits | None:
        change = self._state.changes.get(name)
        return None if change is None else change.feature_mask

    def _feature_mask(self, name: str) -> Tensor | None:
        bits = self._feature_bits(name)
        return None if bits is None else self._unpacked(name, bits)

    def _unpacked(self, name: str, bits: Bits) -> Tensor:
        return unpacked(bits, self.shape(name)).to(self.device(name))

    def _as_rows(self, name: str, stored: Tensor) -> Tensor:
        return stored.t() if self._matrices[name].transposed else stored

    @property
    def _replacements(self) -> Replacements:
        """Found at the first drop. Masks do not change the kind of values that a sublayer returns."""
        if self._known_replacements is None:
            self._known_replacements = replacements(self.model, self.anatomy)
        return self._known_replacements

    def _check(self, part: Part) -> None:
        layers = [block.layer for block in self.anatomy.blocks]
        model = type(self.dense).__name__
        if part.kind not in (*SUBLAYERS, BLOCK) or not 0 <= part.layer <= layers[-1]:
            raise BadInput(
                "No such sublayer",
                f"{str(part)!r} is not in a model of {len(layers)} layers.",
                f"Layers count from 0 to {layers[-1]}.",
            )
        block = self.anatomy.block(part.layer)
        if block is None:
            raise BadInput(
                "No such sublayer",
                f"Text does not run through layer {part.layer}.",
                f"Layers in use: {ranges(layers)}.",
            )
        if self.is_dropped(part):
            raise BadInput("Dropped twice", f"{part} is dropped already.", "Name it once.")
        if part.kind != BLOCK and block.sublayer(part.kind) is None:
            raise BadInput(
                "No such sublayer",
                f"Layer {part.layer} of {model} has no {part.kind} that can be dropped on its own.",
                f"Drop the whole layer with drop-block@layers={part.layer}.",
            )
        if part not in self._replacements:
            raise Failure(
                "Can't drop",
                f"Dropping {part} would not leave the residual stream of layer {part.layer} of {model} unchanged.",
                "Drop the block instead." if part.kind != BLOCK else "This architecture's blocks can't be dropped.",
            )

    def _set_dropped(self, dropped: frozenset[Part]) -> None:
        if dropped == self._state.dropped:
            return
        replace_modules(self.model, dict(reversed(self._replaced.items())))
        # Blocks are dropped last and restored first: sublayers of a dropped block are not in the graph.
        self._replaced = {}
        for part in sorted(dropped, key=lambda part: part.kind == BLOCK):
            self._replaced |= replace_modules(self.model, self._replacements[part])
        self._state = replace(self._state, dropped=dropped)


def count_zeros(weight: Tensor) -> int:
    """How many of a matrix's weights are 0."""
    if weight.device.type == "cpu":  # where torch's own count takes ten times as long on zeros at random places
        return weight.numel() - int(np.count_nonzero(weight.bool().numpy()))
    return weight.numel() - int(torch.count_nonzero(weight))
