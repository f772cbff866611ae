"""Takes a sublayer apart: its matrices, its attention heads, its groups of keys and values. Each can be exchanged.

A matrix is exchanged whole, with its bias. A head is its rows of the matrices before it that no other head reads (of
q, and of k and v if every head has its own) and its columns of the matrix that writes to the stream. A group is the
rows of k and v that several heads share. Which rows belong to which head is measured on the dense model (`row_roles`),
so fused and interleaved projections work too. Norms are in no piece.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from probes.explain.sublayers import ModelSide, Sublayers
from probes.prune.row_roles import Heads, heads, writer
from probes.schema.errors import BadInput
from probes.schema.part import Part
from probes.twin.anatomy import Block, Matrix
from probes.twin.twin import Twin


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one matrix that a piece has: all of it, some rows (with their biases), or some columns."""

    matrix: Matrix
    path: str
    """Within its block."""
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None

    @property
    def whole(self) -> bool:
        return self.rows is None and self.columns is None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one sublayer."""

    part: Part
    name: str
    """"q_proj", "head 3", "group 1"."""
    shares: tuple[Share, ...]

    @property
    def layer(self) -> int:
        return self.part.layer

    @property
    def kind(self) -> str:
        return self.part.kind

    def modules(self, base: nn.Module, other: nn.Module) -> dict[str, nn.Module]:
        """The modules of a block, by path within it, that hold this piece of the other block's and else the base's."""
        return {
            share.path: other.get_submodule(share.path)
            if share.whole
            else _mixed(base.get_submodule(share.path), other.get_submodule(share.path), share)
            for share in self.shares
        }


def matrices_in(sublayers: Sublayers, within: Collection[Part]) -> tuple[list[Piece], list[str]]:
    """The matrices of these sublayers, and a sentence on each kind that has none that can be exchanged."""
    found = [Piece(part, share.path.rpartition(".")[2], (share,)) for part, share in _shares(sublayers, within)]
    names: dict[tuple[Part, str], int] = {}
    for piece in found:
        names[piece.part, piece.name] = names.get((piece.part, piece.name), 0) + 1
    found = [  # experts have matrices of one name
        piece if names[piece.part, piece.name] == 1 else Piece(piece.part, piece.shares[0].path, piece.shares)
        for piece in found
    ]
    notes = []
    without = [part for part in within if not any(piece.part == part for piece in found)]
    for kind in sorted({part.kind for part in without}):
        layers = ", ".join(str(part.layer) for part in without if part.kind == kind)
        notes.append(f"The {kind} of layer {layers} has no matrices that can be exchanged: it is dropped, or stacked.")
    fused = sorted({piece.name for piece in found if piece.kind == "attn" and _is_fused(piece.name)})
    if fused:
        notes.append(f"{' and '.join(fused)} holds q, k and v together; it is exchanged as one matrix.")
    return found, notes


def heads_in(sublayers: Sublayers, within: Collection[Part]) -> tuple[list[Piece], list[str]]:
    """The heads and the groups of keys and values of these attentions, and a sentence if one does not divide."""
    twin = Twin(sublayers.dense.model)
    known: dict[tuple[object, ...], Heads | None] = {}
    found: list[Piece] = []
    undivided: list[int] = []
    for block in sublayers.anatomy.blocks:
        part = Part("attn", block.layer)
        if part not in within or block.attn is None:
            continue
        shares = {share.matrix.name: share for _, share in _shares(sublayers, [part])}
        matrices = [matrix for matrix in block.matrices if matrix.name in shares]
        writes = writer(sublayers.dense.model, block.attn, matrices) if matrices else None
        plain = all(_is_plain(sublayers, block, share.path) for share in shares.values())
        if writes is None or not plain:
            undivided.append(block.layer)
            continue
        makes = [matrix for matrix in matrices if matrix != writes]
        like = tuple((shares[m.name].path, twin.shape(m.name)) for m in (writes, *makes))
        if like not in known:
            layout = heads(twin, writes, makes)
            local = {shares[name].path: runs for name, runs in layout.served.items()} if layout else {}
            known[like] = Heads(layout.groups, layout.size, local) if layout else None
        layout = known[like]
        if layout is None:
            undivided.append(block.layer)
        else:
            found += _pieces(part, layout, shares[writes.name], [shares[m.name] for m in makes])
    notes = []
    if undivided:
        layers = ", ".join(map(str, undivided))
        notes.append(f"The attention of layer {layers} does not divide into heads that can be exchanged.")
    return found, notes


def pieces_of(sublayers: Sublayers, level: str, within: Collection[Part]) -> tuple[list[Piece], list[str]]:
    """The pieces of these sublayers: of level "matrix" or "head". Raises `BadInput` if there are none."""
    found, notes = (matrices_in if level == "matrix" else heads_in)(sublayers, within)
    if not found:
        raise BadInput(
            "No pieces", " ".join(notes) or "There is no attention among these.", "Exchange whole sublayers."
        )
    return found, notes


def _pieces(part: Part, layout: Heads, writes: Share, makes: list[Share]) -> Iterator[Piece]:
    def rows(served: Callable[[frozenset[int]], bool]) -> Iterator[Share]:
        for share in makes:
            runs = layout.served.get(share.path, ())
            mine = [
                run * layout.size + row
                for run, among in enumerate(runs)
                if among and served(among)
                for row in range(layout.size)
            ]
            if mine:
                yield Share(share.matrix, share.path, rows=tuple(mine))

    number = sum(len(group) for group in layout.groups)
    for head in range(number):
        columns = tuple(range(head * layout.size, (head + 1) * layout.size))
        own = tuple(rows(partial(frozenset.__eq__, frozenset({head}))))
        yield Piece(part, f"head {head}", (*own, Share(writes.matrix, writes.path, columns=columns)))
    groups = sorted({among for runs in layout.served.values() for among in runs if len(among) > 1}, key=min)
    for place, group in enumerate(groups):
        yield Piece(part, f"group {place}", tuple(rows(partial(frozenset.__eq__, group))))


def _shares(sublayers: Sublayers, within: Collection[Part]) -> Iterator[tuple[Part, Share]]:
    """The matrices of these sublayers that both models have."""
    for block in sublayers.anatomy.blocks:
        for matrix in block.matrices:
            part = Part(matrix.sublayer, block.layer)
            path = matrix.name.removeprefix(f"{block.name}.")
            if part in within and all(_has(side, block, path) for side in (sublayers.dense, sublayers.pruned)):
                yield part, Share(matrix, path)


def _has(side: ModelSide, block: Block, path: str) -> bool:
    try:
        side.blocks[block.layer].get_submodule(path)
    except AttributeError:
        return False
    return True


def _is_plain(sublayers: Sublayers, block: Block, path: str) -> bool:
    """Do both models have this matrix as plain numbers of one shape, and not as a quantised module?"""
    both = [side.blocks[block.layer].get_submodule(path) for side in (sublayers.dense, sublayers.pruned)]
    tensors = [getattr(module, "weight", None) for module in both]
    return (
        type(both[0]) is type(both[1])
        and all(isinstance(one, Tensor) and one.is_floating_point() and not one.is_meta for one in tensors)
        and len({tuple(one.shape) for one in tensors if one is not None}) == 1
    )


def _is_fused(name: str) -> bool:
    return any(part in name for part in ("qkv", "query_key_value", "c_attn", "Wqkv"))


def _mixed(base: nn.Module, other: nn.Module, share: Share) -> nn.Module:
    """The base's matrix with the other's rows or columns; neither is changed."""
    made = copy.copy(base)
    made.__dict__["_parameters"] = dict(base._parameters)
    with torch.no_grad():
        mixed = base.get_parameter("weight").detach().clone()
        turned = share.matrix.transposed
        view, source = (one.t() if turned else one for one in (mixed, other.get_parameter("weight").detach()))
        if share.rows is not None:
            rows = torch.tensor(share.rows, device=mixed.device)
            view[rows] = source[rows]
            bias, theirs = base._parameters.get("bias"), other._parameters.get("bias")
            if bias is not None and theirs is not None:
                own = bias.detach().clone()
                own[rows] = theirs.detach()[rows]
                made.__dict__["_parameters"]["bias"] = nn.Parameter(own, requires_grad=False)
        if share.columns is not None:
            columns = torch.tensor(share.columns, device=mixed.device)
            view[:, columns] = source[:, columns]
    made.__dict__["_parameters"]["weight"] = nn.Parameter(mixed, requires_grad=False)
    return made
