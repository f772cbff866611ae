"""What is to be done to each matrix and sublayer of the pruned model, and the prune setting that says so.

A plan is read from the present setting, changed cell by cell, and written as text again: the text is what is applied,
shown and recorded, so nothing can be asked for on the screen that could not be typed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from probes.schema.header import MatrixReport, PruneReport
from probes.schema.prune_setting import Amount, Method, Setting, SettingPart, Targets, parse

Key = TypeVar("Key", str, tuple[int, str])
Cell = tuple[int, str]
"""A layer and its sublayer, "attn" or "mlp"."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """A method and how much of it."""

    method: Method
    amount: Amount

    def __str__(self) -> str:
        return f"{self.method}:{self.amount}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The treatment of every matrix; whatever is in none of these stays dense."""

    matrices: tuple[MatrixReport, ...]
    """All that can be pruned, as they were measured."""
    weights: Mapping[str, Treatment] = field(default_factory=dict)
    """By the matrix' name."""
    whole: Mapping[Cell, Treatment] = field(default_factory=dict)
    """Neurons or heads taken out of a sublayer."""
    dropped: frozenset[Cell] = frozenset()
    origin: Plan | None = None
    """What the beginning of the setting does, which changes are written after; None where there is none."""
    begun: tuple[SettingPart, ...] = ()
    """That beginning."""

    @classmethod
    def of(cls, report: PruneReport, layers: int = 0) -> Plan:
        """The plan that a setting was, with the layers its criterion chose; `layers` is how many the model has.

        Of a model made elsewhere only what was measured is known: drops, and zeros in its matrices. Raises `BadInput`
        where the setting can't be read.
        """
        if not report.setting:
            return cls(tuple(completed(report.matrices, layers)), dropped=dropped_cells(report.dropped))
        parts = parse(report.setting).parts
        begun = _beginning(parts)
        dropped = dropped_cells(report.dropped)
        later = frozenset(
            (layer, kind)
            for part in parts[len(begun) :]
            if part.method.drops
            for layer in part.targets.layers or ()
            for kind in _kinds(part.method.dropped_kind)
        )
        origin = cls(tuple(completed(report.matrices, layers)), dropped=dropped - later)._carried(begun)
        return replace(origin._carried(parts[len(begun) :]), dropped=dropped, origin=origin, begun=begun)

    def _carried(self, parts: Iterable[SettingPart]) -> Plan:
        """With what these parts do to weights and features."""
        weights, whole = dict(self.weights), dict(self.whole)
        for part in parts:
            targets = part.targets
            named = [m for m in self.matrices if targets.has(m.name, m.layer, m.sublayer)]
            if part.method is Method.DENSE:
                weights = _without(weights, {m.name for m in named})
                whole = _without(whole, {(m.layer, m.sublayer) for m in named})
            elif part.amount is not None and part.method.structured:
                sublayer = thinned_sublayer(part.method)
                chosen = self.layers if targets.layers is None else targets.layers
                whole |= {(layer, sublayer): Treatment(part.method, part.amount) for layer in chosen}
            elif part.amount is not None and not part.method.drops:
                weights |= {m.name: Treatment(part.method, part.amount) for m in named}
        return replace(self, weights=weights, whole=whole)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({matrix.layer for matrix in self.matrices} | {layer for layer, _ in self.dropped}))

    def names(self, cell: Cell) -> tuple[str, ...]:
        """The matrices of a cell."""
        return tuple(m.name for m in self.matrices if (m.layer, m.sublayer) == cell)

    def treatment(self, name: str) -> Treatment | None:
        return self.weights.get(name)

    # Changing it.

    def treated(self, names: Iterable[str], treatment: Treatment) -> Plan:
        """With a treatment on these matrices, whose sublayers then are not dropped."""
        names = tuple(names)
        cells = self._cells(names)
        return replace(
            self,
            weights={**self.weights, **dict.fromkeys(names, treatment)},
            whole=_without(self.whole, cells),
            dropped=self.dropped - cells,
        )

    def thinned(self, cells: Collection[Cell], treatment: Treatment) -> Plan:
        """With whole neurons or heads gone from these sublayers, and nothing else."""
        plan = self.restored(name for cell in cells for name in self.names(cell))
        return replace(plan, whole={**plan.whole, **dict.fromkeys(sorted(cells), treatment)})

    def dropping(self, cells: Collection[Cell]) -> Plan:
        """Without these sublayers."""
        names = {name for cell in cells for name in self.names(cell)}
        return replace(
            self,
            weights=_without(self.weights, names),
            whole=_without(self.whole, cells),
            dropped=self.dropped | frozenset(cells),
        )

    def restored(self, names: Iterable[str]) -> Plan:
        """With these matrices as in the dense model."""
        names = tuple(names)
        cells = self._cells(names)
        return replace(
            self,
            weights=_without(self.weights, names),
            whole=_without(self.whole, cells),
            dropped=self.dropped - cells,
        )

    def _cells(self, names: Collection[str]) -> frozenset[Cell]:
        wanted = set(names)
        return frozenset((m.layer, m.sublayer) for m in self.matrices if m.name in wanted)

    # Writing it.

    @property
    def setting(self) -> str:
        """The plan as a prune setting; "" where nothing is to be done.

        What differs from the origin is written behind it, after giving it back, so that all else stays to the bit what
        it is: pruning anew would calibrate the layers behind a change on what the change makes of it.
        """
        if not (self.weights or self.whole or self.dropped):
            return ""
        origin = self.origin
        if origin is None or not (origin._untouched_by(self) or origin.dropped & self.dropped):
            return str(Setting(tuple(self._written(self.weights, self.whole, self.dropped))))
        gone = {name for cell in self.dropped for name in self.names(cell)}
        thick = {
            name
            for cell, treatment in origin.whole.items()
            if self.whole.get(cell) != treatment
            for name in self.names(cell)
        }
        thick |= {name for cell in origin.dropped - self.dropped for name in self.names(cell)}
        old = {name for name, treatment in origin.weights.items() if self.weights.get(name) != treatment}
        back = (old | thick) - gone
        new = {
            name: treatment
            for name, treatment in self.weights.items()
            if name in back or origin.weights.get(name) != treatment
        }
        whole = {cell: treatment for cell, treatment in self.whole.items() if origin.whole.get(cell) != treatment}
        given = [SettingPart(Method.DENSE, None, targets) for targets in self._targets(back)]
        return str(Setting((*self.begun, *given, *self._written(new, whole, self.dropped - origin.dropped))))

    def _untouched_by(self, other: Plan) -> bool:
        """Does the other plan leave anything as this one has it?"""
        weights = any(other.weights.get(name) == treatment for name, treatment in self.weights.items())
        return weights or any(other.whole.get(cell) == treatment for cell, treatment in self.whole.items())

    def _written(
        self, weights: Mapping[str, Treatment], whole: Mapping[Cell, Treatment], dropped: Collection[Cell]
    ) -> Iterator[SettingPart]:
        for treatment in dict.fromkeys(weights.values()):
            names = {name for name, other in weights.items() if other == treatment}
            yield from (SettingPart(treatment.method, treatment.amount, targets) for targets in self._targets(names))
        for treatment in dict.fromkeys(whole.values()):
            layers = sorted(layer for (layer, _), other in whole.items() if other == treatment)
            yield SettingPart(treatment.method, treatment.amount, Targets(layers=self._some(layers)))
        for method, kind in ((Method.DROP_ATTN, "attn"), (Method.DROP_MLP, "mlp")):
            layers = sorted(layer for layer, sublayer in dropped if sublayer == kind)
            if layers:
                yield SettingPart(method, None, Targets(layers=tuple(layers)))

    def _targets(self, names: set[str]) -> list[Targets]:
        """Few targets that cover these matrices and no other."""
        found: list[Targets] = []
        full = {cell for cell in self._cells(names) if set(self.names(cell)) <= names}
        both = sorted(layer for layer in self.layers if {(layer, s) for s in self._sublayers(layer)} <= full)
        if both:
            found.append(Targets(layers=self._some(both)))
        for sublayer in ("attn", "mlp", ""):
            layers = sorted(layer for layer, kind in full if kind == sublayer and layer not in both)
            if layers:
                found.append(Targets(sublayer, self._some(layers, sublayer)))
        left = [m for m in self.matrices if m.name in names and (m.layer, m.sublayer) not in full]
        by_layers: dict[tuple[int, ...], list[str]] = {}
        for short in dict.fromkeys(_short(matrix) for matrix in left):
            layers = sorted(matrix.layer for matrix in left if _short(matrix) == short)
            by_layers.setdefault(tuple(layers), []).append(short)
        found += [
            Targets(layers=self._some(layers), names=tuple(sorted(shorts))) for layers, shorts in by_layers.items()
        ]
        return found

    def _sublayers(self, layer: int) -> set[str]:
        return {matrix.sublayer for matrix in self.matrices if matrix.layer == layer}

    def _some(self, layers: Iterable[int], sublayer: str | None = None) -> tuple[int, ...] | None:
        """These layers; None where they are all there are of that kind."""
        chosen = tuple(layers)
        every = {m.layer for m in self.matrices if sublayer is None or m.sublayer == sublayer}
        return None if set(chosen) == every else chosen


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that was left before it was applied, and the report of the pruned model that it would change."""

    report: PruneReport
    plan: Plan


def completed(matrices: Sequence[MatrixReport], layers: int) -> Iterator[MatrixReport]:
    """The matrices with those that were not measured, after the pattern of another layer.

    A report speaks of what a setting targeted. Of a sublayer that none was targeted in, one stands in for all.
    """
    known: dict[Cell, list[MatrixReport]] = {}
    for matrix in matrices:
        known.setdefault((matrix.layer, matrix.sublayer), []).append(matrix)
    pattern = {kind: [MatrixReport(f"layer.0.{kind}", 0, kind, 0, 0, 0)] for kind in ("attn", "mlp")}
    pattern |= {cell[1]: known[cell] for cell in sorted(known, reverse=True)}
    yield from matrices
    for layer in range(layers):
        for sublayer, models in pattern.items():
            if (layer, sublayer) not in known:
                for model in models:
                    name = model.name.replace(f".{model.layer}.", f".{layer}.", 1)
                    yield replace(model, name=name, layer=layer, zeros=0)


def thinned_sublayer(method: Method) -> str:
    """Which sublayer a structured method takes from: neurons are the MLP's, heads the attention's."""
    return "mlp" if method is Method.NEURONS else "attn"


def dropped_cells(dropped: Iterable[str]) -> frozenset[Cell]:
    """The cells that "attn 20", "mlp 3", "block 7" speak of."""
    found: set[Cell] = set()
    for text in dropped:
        kind, _, layer = text.partition(" ")
        if layer.isdigit():
            found |= {(int(layer), sublayer) for sublayer in _kinds(kind)}
    return frozenset(found)


def _kinds(dropped: str) -> tuple[str, ...]:
    """The sublayers that go when "attn", "mlp" or "block" is dropped."""
    return ("attn", "mlp") if dropped == "block" else (dropped,)


def _beginning(parts: Sequence[SettingPart]) -> tuple[SettingPart, ...]:
    """What changes are written behind: all before the first part that gives back, but for last drops by name."""
    given = next((place for place, part in enumerate(parts) if part.method is Method.DENSE), len(parts))
    while given and parts[given - 1].method.drops and parts[given - 1].amount is None:
        given -= 1
    return tuple(parts[:given])


def _short(matrix: MatrixReport) -> str:
    """The last part of a matrix' name, which says what it is in every layer."""
    return matrix.name.rpartition(".")[2]


def _without(mapping: Mapping[Key, Treatment], keys: Collection[Key]) -> dict[Key, Treatment]:
    return {key: value for key, value in mapping.items() if key not in keys}
