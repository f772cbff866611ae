"""The units that a repair can give back: pruned sublayers, or pruned matrices and dropped sublayers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from probes.explain.sublayers import Sublayers
from probes.schema.part import BLOCK, SUBLAYERS, Part
from probes.schema.prune_setting import Method, Setting
from probes.schema.repair import RepairLevel
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin, count_zeros


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One sublayer or matrix that can be given back."""

    name: str
    """"attn 3", or the matrix's module path."""
    part: Part
    """The sublayer, or the one that the matrix is in."""
    matrix: str
    """The matrix's name within its sublayer; "" for a whole sublayer."""
    matrices: frozenset[str]
    """The pruned matrices that it gives back."""
    parameters: int
    """Pruned parameters that come back: the zeros that pruning made, and all parameters of a dropped sublayer."""
    modules: Mapping[str, nn.Module]
    """The dense modules that it puts into the pruned block, by name within the block."""


def units_of(twin: Twin, sublayers: Sublayers, level: RepairLevel) -> tuple[Unit, ...]:
    """Everything that can be given back at a level, in the order of the stream. A dropped sublayer is one unit at every
    level, because its matrices do not run without it."""
    changed = [matrix for matrix in twin.anatomy.matrices if matrix.name in twin.state.changes]
    zeros = {one.name: count_zeros(twin.weight(one.name)) - twin.dense_zeros(one.name) for one in changed}
    found: list[Unit] = []
    for part in sublayers.parts:
        here = [matrix for matrix in changed if _goes_with(matrix, part)]
        dropped = twin.is_dropped(part)
        if level == "sublayer" or dropped:
            if here or dropped:
                block = sublayers.dense.blocks[part.layer]
                modules = {name: block.get_submodule(name) for name in sublayers.members[part]}
                count = _parameters(twin, part) if dropped else sum(zeros[one.name] for one in here)
                names = frozenset(one.name for one in here)
                found.append(Unit(str(part), part, "", names, count, modules))
            continue
        prefix = next(block.name for block in twin.anatomy.blocks if block.layer == part.layer)
        for matrix in here:
            inner = matrix.name.removeprefix(f"{prefix}.")
            modules = {inner: twin.dense.get_submodule(matrix.name)}
            short, names = inner.rpartition(".")[2], frozenset([matrix.name])
            found.append(Unit(matrix.name, part, short, names, zeros[matrix.name], modules))
    return tuple(found)


def restored_by(setting: Setting, units: Sequence[Unit], twin: Twin) -> frozenset[str]:
    """The units that a setting gives back, read from its text alone."""
    found = set()
    for unit in units:
        matrices: list[Matrix | None] = [one for one in twin.anatomy.matrices if one.name in unit.matrices]
        if all(_is_dense(setting, one, unit.part, twin.is_dropped(unit.part)) for one in matrices or [None]):
            found.add(unit.name)
    return frozenset(found)


def _is_dense(setting: Setting, matrix: Matrix | None, part: Part, dropped: bool) -> bool:
    """Does a trailing part restore the matrix and, if it is dropped, the sublayer?"""
    dense = False
    for one in setting.parts:
        if one.method is not Method.DENSE:
            dense = False
            continue
        targets = one.targets
        in_layer = targets.layers is None or part.layer in targets.layers
        whole = not targets.names and in_layer and targets.sublayer in ("", part.kind)
        named = matrix is not None and targets.has(matrix.name, matrix.layer, matrix.sublayer)
        dense = dense or whole or (named and not dropped)
    return dense


def _goes_with(matrix: Matrix, part: Part) -> bool:
    """Is the matrix given back with the sublayer? Those of neither sublayer are not given back."""
    return (matrix.sublayer, matrix.layer) == (part.kind, part.layer) and part.kind in SUBLAYERS


def _parameters(twin: Twin, part: Part) -> int:
    block = twin.anatomy.block(part.layer)
    sublayer = block.sublayer(part.kind) if block else None
    paths = sublayer.modules if sublayer else ()
    return sum(weight.numel() for path in paths for weight in twin.dense.get_submodule(path).parameters())


def every_unit_is_all(twin: Twin, units: Sequence[Unit]) -> bool:
    """Would giving back all units leave the dense model?"""
    names = {name for unit in units for name in unit.matrices}
    halves = {unit.part for unit in units if not unit.matrix}
    dropped = {half for part in twin.state.dropped for half in (part.sublayers if part.kind == BLOCK else (part,))}
    return twin.state.changes.keys() <= names and dropped <= halves
