"""A plan: the treatment of each matrix and sublayer of the pruned model, and the prune setting for it.

A plan is read from the present setting, changed cell by cell, and written as a setting again: the setting is what is
applied, shown and recorded, so nothing can be asked for on the screen that could not be typed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from explorer.state.layout import Layout
from probes.schema.header import PruneReport
from probes.schema.part import SUBLAYERS, Part
from probes.schema.prune_setting import Amount, Method, Setting, SettingPart, Targets, parse


@dataclass(frozen=True, slots=True)
class Treatment:
    """A method and how much of it."""

    method: Method
    amount: Amount

    def __str__(self) -> str:
        return f"{self.method}:{self.amount}"


Treatments = Mapping[str | Part, Treatment]
"""By a matrix's name if its weights are pruned one by one, by a sublayer if whole neurons or heads are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The treatment of every matrix and sublayer; those without one stay dense."""

    layout: Layout = field(default_factory=Layout)
    treatments: Treatments = field(default_factory=dict)
    dropped: frozenset[Part] = frozenset()
    origin: Plan | None = None
    """The plan that `begun` alone makes; changes are written after it. None if there is no beginning."""
    begun: tuple[SettingPart, ...] = ()
    """The beginning of the setting, up to the first part that a change of the plan may rewrite."""

    @classmethod
    def of(cls, report: PruneReport, layers: int = 0) -> Plan:
        """The plan of a report's setting, with the layers that its criterion chose, in a model with `layers` layers.

        Of a model made elsewhere only the drops and the zeros in its matrices are known. Raises `BadInput`
        if the setting can't be read.
        """
        layout = Layout.of(report.matrices, layers)
        dropped = frozenset(sublayer for part in report.dropped_parts for sublayer in part.sublayers)
        if not report.setting:
            return cls(layout, dropped=dropped)
        parts = parse(report.setting).parts
        begun, rest = _divided(parts)
        by_name = (
            Part(part.method.dropped_kind, layer)
            for part in rest
            if part.method.drops
            for layer in part.targets.layers or ()
        )
        later = {sublayer for part in by_name for sublayer in part.sublayers}
        origin = cls(layout, dropped=dropped - later)._after(begun)
        return replace(origin._after(rest), dropped=dropped, origin=origin, begun=begun)

    def _after(self, parts: Iterable[SettingPart]) -> Plan:
        """The plan after these parts, but for their drops."""
        treatments: dict[str | Part, Treatment] = dict(self.treatments)
        for part in parts:
            named = [m for m in self.layout.matrices if part.targets.has(m.name, m.layer, m.sublayer)]
            if part.method is Method.DENSE:
                treatments = _without(treatments, {*(m.name for m in named), *(m.part for m in named)})
            elif part.amount is not None and part.method.structured:
                chosen = self.layout.layers if part.targets.layers is None else part.targets.layers
                treatment = Treatment(part.method, part.amount)
                treatments.update((Part(part.method.thinned_kind, layer), treatment) for layer in chosen)
            elif part.amount is not None and part.method.unstructured:
                treatment = Treatment(part.method, part.amount)
                treatments.update((m.name, treatment) for m in named)
        return replace(self, treatments=treatments)

    # Changing it.

    def treated(self, names: Collection[str], treatment: Treatment) -> Plan:
        """The plan with this treatment of these matrices. Their sublayers are then neither thinned nor dropped."""
        parts = self.layout.parts(names)
        treatments = _without(self.treatments, parts)
        treatments.update((name, treatment) for name in sorted(names))
        return replace(self, treatments=treatments, dropped=self.dropped - parts)

    def thinned(self, parts: Collection[Part], treatment: Treatment) -> Plan:
        """The plan with whole neurons or heads removed from these sublayers, and nothing else done to them."""
        plan = self.restored(self.layout.names(parts))
        return replace(plan, treatments={**plan.treatments, **dict.fromkeys(sorted(parts), treatment)})

    def dropping(self, parts: Collection[Part]) -> Plan:
        """The plan with these sublayers dropped."""
        return replace(self._dense_in(self.layout.names(parts), parts), dropped=self.dropped | frozenset(parts))

    def restored(self, names: Collection[str]) -> Plan:
        """The plan with these matrices as in the dense model."""
        parts = self.layout.parts(names)
        return replace(self._dense_in(names, parts), dropped=self.dropped - parts)

    def _dense_in(self, names: Collection[str], parts: Collection[Part]) -> Plan:
        return replace(self, treatments=_without(self.treatments, {*names, *parts}))

    # Writing it.

    @property
    def setting(self) -> Setting | None:
        """The plan as a prune setting; None if nothing is to be done.

        Differences from the origin are written behind it, after restoring what they change, so that all else stays
        the same to the bit: pruning again would calibrate the later layers on the changed outputs.
        """
        origin = self.origin
        if not (self.treatments or self.dropped):
            return None
        if origin is None or not self._keeps_any_of(origin):
            return Setting(tuple(self._written(self.treatments, self.dropped)))
        changed = {key for key, treatment in origin.treatments.items() if self.treatments.get(key) != treatment}
        thick = {key for key in changed if isinstance(key, Part)} | (origin.dropped - self.dropped)
        names = {key for key in changed if isinstance(key, str)} | self.layout.names(thick)
        back = names - self.layout.names(self.dropped)
        new = {
            key: treatment
            for key, treatment in self.treatments.items()
            if key in back or origin.treatments.get(key) != treatment
        }
        restoring = (SettingPart(Method.DENSE, None, targets) for targets in self.layout.few_targets(back))
        return Setting((*self.begun, *restoring, *self._written(new, self.dropped - origin.dropped)))

    def _keeps_any_of(self, origin: Plan) -> bool:
        kept = any(self.treatments.get(key) == treatment for key, treatment in origin.treatments.items())
        return kept or bool(origin.dropped & self.dropped)

    def _written(self, treatments: Treatments, dropped: Collection[Part]) -> Iterator[SettingPart]:
        """The parts of a setting that do this: single weights, then whole neurons and heads, then drops."""
        for treatment in sorted(dict.fromkeys(treatments.values()), key=lambda one: one.method.structured):
            alike = [key for key, other in treatments.items() if other == treatment]
            layers = sorted(key.layer for key in alike if isinstance(key, Part))
            names = [key for key in alike if isinstance(key, str)]
            found = [Targets(layers=self.layout.unless_all(layers))] if layers else self.layout.few_targets(names)
            yield from (SettingPart(treatment.method, treatment.amount, targets) for targets in found)
        for method, kind in zip((Method.DROP_ATTN, Method.DROP_MLP), SUBLAYERS, strict=True):
            layers = sorted(part.layer for part in dropped if part.kind == kind)
            if layers:
                yield SettingPart(method, None, Targets(layers=tuple(layers)))


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that was left before it was applied, and the report of the pruned model that it would change."""

    report: PruneReport
    plan: Plan


def _divided(parts: Sequence[SettingPart]) -> tuple[tuple[SettingPart, ...], tuple[SettingPart, ...]]:
    """The beginning that changes are written behind, and the rest.

    The rest begins at the first part that restores matrices or sublayers; drops by name directly before that belong to
    it too. Single weights that were restored are always in the beginning: a plan of matrices can't write them.
    """
    fitted = max((place + 1 for place, part in enumerate(parts) if part.method is Method.RESTORE), default=0)
    end = next((n for n, part in enumerate(parts) if part.method is Method.DENSE and n >= fitted), len(parts))
    while end > fitted and parts[end - 1].method.drops and parts[end - 1].amount is None:
        end -= 1
    return tuple(parts[:end]), tuple(parts[end:])


def _without(treatments: Treatments, keys: Collection[str | Part]) -> dict[str | Part, Treatment]:
    return {key: treatment for key, treatment in treatments.items() if key not in keys}
