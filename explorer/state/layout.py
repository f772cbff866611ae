"""The prunable matrices of a model, sublayer by sublayer, and the targets that name some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from probes.schema.header import MatrixReport
from probes.schema.part import SUBLAYERS, Part
from probes.schema.prune_setting import Targets


@dataclass(frozen=True, slots=True)
class Layout:
    """All matrices that can be pruned, as they were measured, in layer order."""

    matrices: tuple[MatrixReport, ...] = ()

    @classmethod
    def of(cls, measured: Sequence[MatrixReport], layers: int) -> Layout:
        """The layout of a model with `layers` layers, of which some matrices were measured."""
        return cls(tuple(completed(measured, layers)))

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({matrix.layer for matrix in self.matrices}))

    def names(self, parts: Collection[Part]) -> set[str]:
        """The matrices of these sublayers."""
        return {matrix.name for matrix in self.matrices if matrix.part in parts}

    def parts(self, names: Collection[str]) -> set[Part]:
        """The sublayers that have one of these matrices."""
        return {matrix.part for matrix in self.matrices if matrix.name in names}

    def few_targets(self, names: Collection[str]) -> list[Targets]:
        """Few targets that cover these matrices and no other: whole layers, then whole sublayers, then matrices."""
        covered = self.parts(names) - {matrix.part for matrix in self.matrices if matrix.name not in names}
        by_layer: dict[int, set[Part]] = {}
        for matrix in self.matrices:
            by_layer.setdefault(matrix.layer, set()).add(matrix.part)
        both = sorted(layer for layer, parts in by_layer.items() if parts <= covered)
        found = [Targets(layers=self.unless_all(both))] if both else []
        for kind in (*SUBLAYERS, ""):
            layers = sorted(part.layer for part in covered if part.kind == kind and part.layer not in both)
            if layers:
                found.append(Targets(kind, self.unless_all(layers, kind)))
        by_short: dict[str, list[int]] = {}
        for matrix in self.matrices:
            if matrix.name in names and matrix.part not in covered:
                by_short.setdefault(matrix.short, []).append(matrix.layer)
        by_layers: dict[tuple[int, ...], list[str]] = {}
        for short, layers in by_short.items():
            by_layers.setdefault(tuple(sorted(layers)), []).append(short)
        return found + [
            Targets(layers=self.unless_all(layers), names=tuple(sorted(shorts))) for layers, shorts in by_layers.items()
        ]

    def unless_all(self, layers: Iterable[int], kind: str | None = None) -> tuple[int, ...] | None:
        """These layers; None if they are all the layers that have matrices of this kind."""
        chosen = tuple(layers)
        return None if set(chosen) == {m.layer for m in self.matrices if kind in (None, m.sublayer)} else chosen


def completed(matrices: Sequence[MatrixReport], layers: int) -> Iterator[MatrixReport]:
    """The measured matrices and, after the pattern of another layer, those that were not measured.

    A report lists the matrices that a setting targeted. If it targeted no attention (or no MLP), one matrix is listed
    for all of them.
    """
    known: dict[Part, list[MatrixReport]] = {}
    for matrix in matrices:
        known.setdefault(matrix.part, []).append(matrix)
    pattern = {kind: [MatrixReport(f"layer.0.{kind}", 0, kind, 0, 0, 0)] for kind in SUBLAYERS}
    pattern |= {part.kind: known[part] for part in sorted(known, key=lambda part: part.layer, reverse=True)}
    yield from matrices
    for layer in range(layers):
        for kind, models in pattern.items():
            if Part(kind, layer) not in known:
                for model in models:
                    name = model.name.replace(f".{model.layer}.", f".{layer}.", 1)
                    yield replace(model, name=name, layer=layer, zeros=0)
