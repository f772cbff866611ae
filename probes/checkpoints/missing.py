"""Measures what a model that was made elsewhere lacks, and reports it like the pruning of a model made here.

Layers have the dense model's numbers if the weights show which layer is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from probes.checkpoints.computed import differing_settings, largest_difference, list_settings
from probes.checkpoints.foreign import ForeignModel
from probes.checkpoints.layer_alignment import align_layers
from probes.checkpoints.weight_diff import (
    Compared,
    compare_weights,
    count_matrices,
    count_others,
    matrices_of,
    tensors,
    within,
    zeros_in,
)
from probes.models import quantised
from probes.models.loaded import Loaded
from probes.schema.counting import number_of
from probes.schema.errors import BadInput
from probes.schema.header import PruneReport
from probes.schema.part import BLOCK, Part
from probes.schema.prune_setting import ranges
from probes.system.progress import Work
from probes.twin.anatomy import Anatomy, dissect


def measure_missing(found: ForeignModel, dense: Loaded | None, work: Work) -> PruneReport:
    """Counts zeros, N:M patterns and dropped sublayers, and if `dense` is given, missing layers and differing tensors.

    The report's setting is "", because the model was pruned elsewhere. Raises `Cancelled`.
    """
    anatomy = _anatomy(found.plain)
    layers = _Layers.of(found, anatomy, dense)
    report = _counted(found, anatomy, layers, work)
    if dense is None:
        return report
    aside = anatomy.aside if anatomy else ()
    held = compare_weights(found.plain.model, dense.model, layers.named, (*found.silent, *aside), layers.paths, work)
    otherwise = differing_settings(found.plain.model, dense.model, layers.numbers, reshaped=bool(held.reshaped))
    narrow = any(one.narrower for one in held.reshaped if layers.has(one.name))
    shape = ", ".join(part for part in (layers.shape, "narrower" if narrow else "") if part)
    return replace(
        report,
        zeroed_before=zeros_in(dense.model, layers.named, report.matrices) if report.zeroed else 0,
        compared=held.count,
        tensors=held.differing,
        shape=shape,
        notes=(*report.notes, *layers.notes, *_of_shapes(held, found.plain, dense), *_of_names(held, found.plain)),
        warnings=_of_settings(otherwise) or _of_identity(found.loaded, dense, report, held, shape),
    )


@dataclass(frozen=True, slots=True)
class _Layers:
    """The mapping from the second model's layers to the dense model's."""

    numbers: Mapping[int, int] | None
    """The dense layer of each layer; None if it is unknown."""
    gone: tuple[Part, ...] = ()
    gone_parameters: int = 0
    named: Mapping[str, str] = field(default_factory=dict)
    """The dense model's names for the tensors of the second one's layers."""
    shape: str = ""
    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Paths of the dense model without a counterpart in the second: removed layers, and modules that text does not
    enter."""

    @classmethod
    def of(cls, found: ForeignModel, anatomy: Anatomy | None, dense: Loaded | None) -> _Layers:
        theirs = _anatomy(dense) if dense else None
        if dense is None or theirs is None:
            return cls(None)
        few, many = found.plain.info.layers if anatomy is None else len(anatomy.blocks), len(theirs.blocks)
        names, aside = {block.layer: block.name for block in theirs.blocks}, theirs.aside
        if few == 0:
            return cls(None, shape=f"0 of {many} layers", paths=(*aside, *names.values()))
        if anatomy is None:
            return cls(None, paths=aside)
        numbers = align_layers(found.plain.model, anatomy, dense.model, theirs)
        if numbers is None:
            how = f"{few} of {many} layers" if few < many else f"{few} layers instead of {many}"
            return cls(
                None,
                shape=how,
                notes=(f"It has {how}; its weights do not show which of the dense layers these are.",),
                paths=(*aside, *list(names.values())[few:]),
            )
        gone = sorted(names.keys() - set(numbers.values()))
        missing = [p for layer in gone for p in dense.model.get_submodule(names[layer]).parameters()]
        note = f"It has {few} of the dense model's {many} layers; missing: {ranges(gone)}."
        return cls(
            numbers,
            tuple(Part(BLOCK, layer) for layer in gone),
            sum(parameter.numel() for parameter in missing),
            {
                name: f"{names[numbers[block.layer]]}.{name.removeprefix(f'{block.name}.')}"
                for block in anatomy.blocks
                for name in tensors(found.plain.model)
                if name.startswith(f"{block.name}.")
            },
            notes=(note,) if gone else (),
            paths=(*aside, *(names[layer] for layer in gone)),
        )

    def number(self, layer: int) -> int:
        """The dense model's number of a layer; its own number if that is unknown."""
        return layer if self.numbers is None else self.numbers[layer]

    def has(self, name: str) -> bool:
        """Does the tensor belong to one of the layers?"""
        return name in self.named


def _anatomy(loaded: Loaded) -> Anatomy | None:
    """The model's anatomy; None if no layer holds a readable matrix, as in some quantised formats."""
    try:
        return dissect(loaded.model)
    except BadInput:
        return None


def _counted(found: ForeignModel, anatomy: Anatomy | None, layers: _Layers, work: Work) -> PruneReport:
    """Counts the zeros of all matrices that run, with notes on those that could not be counted."""
    notes = [*_of_format(found), *_of_absent(found.plain)]
    if anatomy is None:
        notes.append("Its layers hold no plain matrices, so their zeros can't be counted.")
        return PruneReport("", 0, 0, notes=tuple(notes))
    running = [matrix for matrix in anatomy.matrices if not within(matrix.name, found.silent)]
    matrices, uncounted = count_matrices(found.plain.model, running, work)
    linear, known = matrices_of(found.plain.model, anatomy)
    if uncounted + linear - known:
        notes.append(
            f"{uncounted + linear - known} of {linear} matrices hold no plain numbers, so their zeros can't be counted."
        )
    notes += anatomy.notes
    known_by_name = {matrix.name for matrix in anatomy.matrices}
    others = [
        name for name in anatomy.unreachable
        if name.rpartition(".")[0] not in known_by_name and not within(name, found.silent)
    ]  # fmt: skip
    experts = count_others(found.plain.model, anatomy, others)
    matrices += experts
    unreached = [name for name in others if name.removesuffix(".weight") not in {one.name for one in experts}]
    if unreached:
        notes.append(f"Zeros are not counted in {number_of(len(unreached), 'tensor')}, for example {unreached[0]}.")
    dropped = [Part(part.kind, layers.number(part.layer)) for part in found.dropped]
    return PruneReport(
        setting="",
        zeroed=sum(matrix.zeros for matrix in matrices),
        targeted=sum(matrix.rows * matrix.columns for matrix in matrices),
        dropped=tuple(map(str, sorted((*dropped, *layers.gone)))),
        dropped_parameters=found.dropped_parameters + layers.gone_parameters,
        matrices=tuple(replace(matrix, layer=layers.number(matrix.layer)) for matrix in matrices),
        notes=tuple(notes),
    )


def _of_format(found: ForeignModel) -> list[str]:
    how = quantised.quantised_format(found.plain.model)
    return [f"It is quantised ({how}); the dequantised weights are measured."] if how else []


def _of_absent(loaded: Loaded) -> list[str]:
    if not loaded.absent:
        return []
    verb = "is" if len(loaded.absent) == 1 else "are"
    return [f"{number_of(len(loaded.absent), 'tensor')} of dropped sublayers {verb} in no file."]


def _of_shapes(held: Compared, ours: Loaded, dense: Loaded) -> list[str]:
    if not held.reshaped:
        return []
    one = next((found for found in held.reshaped if len(found.ours) > 1), held.reshaped[0])
    have = "has" if len(held.reshaped) == 1 else "have"
    return [
        f"{len(held.reshaped)} of {held.count} tensors {have} another shape than {dense.info.name}'s: {one.name} is "
        f"{' × '.join(map(str, one.ours))} instead of {' × '.join(map(str, one.dense))}; "
        f"{ours.info.parameters:,} parameters in all instead of {dense.info.parameters:,}."
    ]


def _of_names(held: Compared, ours: Loaded) -> list[str]:
    notes = []
    if held.unreadable:
        one = held.unreadable[0]
        unreadable = number_of(len(held.unreadable), "tensor")
        notes.append(f"{unreadable} can't be compared, for lack of plain numbers, for example {one}.")
    if quantised.quantised_format(ours.model):
        return notes
    if held.extra:
        extra, have = number_of(len(held.extra), "tensor"), "has" if len(held.extra) == 1 else "have"
        notes.append(f"{extra} {have} no counterpart in the dense model, for example {held.extra[0]}.")
    if held.missing:
        notes.append(f"It lacks {len(held.missing)} of the dense model's tensors, for example {held.missing[0]}.")
    return notes


def _of_settings(otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """The warning that the settings of the computation differ, and not only the weights."""
    if not otherwise:
        return ()
    return (
        f"The second model's configuration differs from the dense one's: {list_settings(otherwise)}. "
        "The figures include the effect of this.",
    )


def _of_identity(ours: Loaded, dense: Loaded, report: PruneReport, held: Compared, shape: str) -> tuple[str, ...]:
    """The warning that both models are identical, or that equal weights give different logits."""
    if held.differing or held.unreadable or held.extra or held.missing or report.dropped or shape:
        return ()
    apart = largest_difference(ours.model, dense.model)
    if apart:
        return (
            f"All {held.count} tensors and the configuration are the dense model's, but the logits differ by up to "
            f"{apart:.3g}. The difference is in the models' code, or in data that their code stores.",
        )
    return (
        f"The second model is the dense model: all {held.count} tensors are identical, "
        "and no sublayer is dropped. Every figure will be 0.",
    )
