"""Writes into a setting what is restored, as short as the grammar allows. Free of torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Protocol

from probes.schema.part import SUBLAYERS, Part
from probes.schema.prune_setting import Method, Setting, SettingPart, Targets


class NamedMatrix(Protocol):
    """A prunable matrix, as a setting can name it."""

    @property
    def name(self) -> str: ...
    @property
    def layer(self) -> int: ...
    @property
    def sublayer(self) -> str: ...


def with_restored(
    setting: Setting, sublayers: Iterable[Part], names: Collection[str], matrices: Sequence[NamedMatrix]
) -> Setting:
    """The setting that afterwards restores these sublayers and, beside them, the matrices of these names.

    `matrices` are all of the model. Whole sublayers that the setting restores at its end already are written together
    with the new ones.
    """
    parts = list(setting.parts)
    last = max((n + 1 for n, part in enumerate(parts) if part.method is not Method.DENSE), default=0)
    joined = [part for part in parts[last:] if not part.targets.names and part.targets.layers is not None]
    layers: dict[str, set[int]] = {kind: set() for kind in SUBLAYERS}
    for kind in SUBLAYERS:
        for part in joined:
            layers[kind] |= {*(part.targets.layers or ())} if part.targets.sublayer in ("", kind) else set()
        layers[kind] |= {one.layer for one in sublayers if one.kind == kind}
    of: dict[Part, set[str]] = {}
    for matrix in matrices:
        of.setdefault(Part(matrix.sublayer, matrix.layer), set()).add(matrix.name)
    for sublayer, there in of.items():
        if sublayer.kind in layers and there <= set(names):
            layers[sublayer.kind].add(sublayer.layer)
    left = [m for m in matrices if m.name in names and m.layer not in layers.get(m.sublayer, ())]
    loose = {matrix.layer for matrix in matrices if matrix.sublayer not in SUBLAYERS}
    targets = [*_whole(layers["attn"], layers["mlp"], loose), *_single(left, matrices)]
    kept = [part for part in parts if not any(part is one for one in joined)]
    return Setting((*kept, *(SettingPart(Method.DENSE, None, one) for one in targets)))


def _whole(attn: set[int], mlp: set[int], loose: set[int]) -> list[Targets]:
    """The targets of whole sublayers; a layer with matrices of neither kind is never named as a whole."""
    both = (attn & mlp) - loose
    ways = [[("", both), ("attn", attn - both), ("mlp", mlp - both)], [("attn", attn), ("mlp", mlp)]]
    written = [[Targets(kind, tuple(sorted(layers))) for kind, layers in way if layers] for way in ways]
    return min(written, key=lambda way: len("+dense".join(map(str, way))))


def _single(wanted: Sequence[NamedMatrix], matrices: Sequence[NamedMatrix]) -> list[Targets]:
    """The targets of single matrices: names that are together in the same layers are written together."""
    by_name: dict[tuple[str, str], list[int]] = {}
    for matrix in wanted:
        by_name.setdefault((matrix.sublayer, matrix.name.rpartition(".")[2]), []).append(matrix.layer)
    by_layers: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for key, layers in by_name.items():
        by_layers.setdefault(tuple(sorted({*layers})), []).append(key)
    found: list[Targets] = []
    for chosen, keys in by_layers.items():
        meant = {m.name for m in wanted if (m.sublayer, m.name.rpartition(".")[2]) in keys}
        together = Targets("", chosen, tuple(sorted({short for _, short in keys})))
        if _covered(together, matrices) == meant:
            found.append(together)
            continue
        for kind, group in groupby(sorted(keys), key=lambda key: key[0]):
            shorts = {short for _, short in group}
            here = {m.name for m in wanted if m.sublayer == kind and m.name.rpartition(".")[2] in shorts} & meant
            short = Targets(kind, chosen, tuple(sorted(shorts)))
            found.append(short if _covered(short, matrices) == here else Targets("", None, tuple(sorted(here))))
    return found


def _covered(targets: Targets, matrices: Sequence[NamedMatrix]) -> set[str]:
    return {one.name for one in matrices if targets.has(one.name, one.layer, one.sublayer)}
