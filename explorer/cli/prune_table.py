"""The output of `phier prune` and `phier inspect`: a table by layer for people, one object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words.token_text import flowing
from probes.checkpoints.provenance import Provenance
from probes.schema.foreign_text import visible
from probes.schema.header import MatrixReport, PruneReport, TensorReport
from probes.schema.part import Part
from probes.schema.prune_setting import ranges

if TYPE_CHECKING:
    from probes.checkpoints.inspect import Inspection
    from probes.checkpoints.save import Saved

MOST_TENSORS = 10
"""Tensors that are named in the table of differences."""


def saved_object(saved: Saved) -> dict[str, Any]:
    """For `phier prune --json`."""
    return {"folder": str(saved.folder), "made": asdict(saved.provenance), "measured": asdict(saved.report)}


def inspected_object(found: Inspection) -> dict[str, Any]:
    """For `phier inspect --json`."""
    return {
        "model": asdict(found.model),
        "format": found.format,
        "measured": asdict(found.report),
        "against": asdict(found.against) if found.against else None,
        "made": asdict(found.provenance) if found.provenance else None,
        "unchanged": found.unchanged,
    }


def print_saved(saved: Saved, console: Console) -> None:
    """The folder, and what was measured in it."""
    _print_measured(saved.report, console)
    made = saved.provenance
    _print_facts(
        console,
        [
            ("saved", visible(str(saved.folder))),
            ("setting", made.setting),
            ("weights", made.fingerprint[:16]),
            ("checked", "loaded again: the weights and the logits are those of the pruned model"),
        ],
    )


def print_inspected(found: Inspection, console: Console) -> None:
    """Prints the model, the measurements, and the model's own record of its pruning."""
    model = found.model
    _print_facts(
        console,
        [
            ("model", f"{flowing(model.name)}, {model.architecture}, {model.layers} layers of {model.hidden}"),
            ("stored as", f"{found.format}, read as {model.dtype}"),
            *([("against", flowing(found.against.name))] if found.against else []),
        ],
    )
    for warning in found.report.warnings:
        console.print(Text(f"\nWarning: {warning}", "bold"))
    _print_measured(found.report, console)
    if found.provenance:
        _print_facts(console, _said(found.provenance, found))
    for note in found.report.notes:
        console.print(Text(note, "dim"))


def _said(made: Provenance, found: Inspection) -> Iterable[tuple[str, str]]:
    yield "made here", f"{made.setting} of {flowing(made.dense.name)}, {made.written}"
    if made.calibration:
        text = made.calibration
        yield "calibrated", f"{flowing(text.source)}, {text.samples} samples of {text.length} tokens"
    known = {True: "those that were saved", False: "not those that were saved", None: "read in another dtype"}
    yield "weights", known[found.unchanged]
    other = found.against
    if other and other.fingerprint and other.dtype == made.dense.dtype and other.fingerprint != made.dense.fingerprint:
        yield "made of", f"another model than {flowing(other.name)}"


def _print_measured(report: PruneReport, console: Console) -> None:
    console.print(Text(f"\n{report.summary}\n", "bold"))
    if report.matrices:
        console.print(Text("Zeros in %", "dim"))
        console.print(_by_layer(report))
        for line in _obeyed(report.matrices):
            console.print(Text(f"N:M      {line}"), soft_wrap=True)
    if report.dropped:
        console.print(Text(f"\ndropped  {', '.join(_grouped(report.dropped_parts))}"))
        console.print(Text(f"         {report.dropped_parameters:,} parameters", "dim"))
    if report.compared is not None:
        console.print(Text(f"\n{len(report.tensors)} of {report.compared} tensors differ", "bold"))
        if report.tensors:
            console.print(_differences(report.tensors))
    console.print()


def _by_layer(report: PruneReport) -> Table:
    """A row a layer, a column a matrix; neighbours that are alike are joined."""
    rows: dict[int, dict[str, str]] = {}
    for matrix in report.matrices:
        rows.setdefault(matrix.layer, {})[matrix.short] = f"{100 * matrix.sparsity:.1f}"
    fullest = max(rows.values(), key=len)
    kinds = list(dict.fromkeys([*fullest, *(kind for shares in rows.values() for kind in shares)]))
    table = Table(box=None, pad_edge=False)
    for title in ("layer", *kinds):
        table.add_column(title, justify="right")
    joined: list[tuple[tuple[str, ...], list[int]]] = []
    for layer in sorted(rows):
        cells = tuple(rows[layer].get(kind, "–") for kind in kinds)
        if joined and joined[-1] == (cells, [*joined[-1][1][:-1], layer - 1]):
            joined[-1][1].append(layer)
        else:
            joined.append((cells, [layer]))
    for cells, layers in joined:
        table.add_row(ranges(layers), *(Text(cell) for cell in cells))
    return table


def _obeyed(matrices: Sequence[MatrixReport]) -> Iterable[str]:
    """For each N:M pattern, the matrices of which layers obey it."""
    found: dict[str, dict[str, list[int]]] = {}
    for matrix in matrices:
        for pattern in matrix.patterns:
            found.setdefault(pattern, {}).setdefault(matrix.short, []).append(matrix.layer)
    for pattern, kinds in found.items():
        by_layers: dict[str, list[str]] = {}
        for kind, layers in kinds.items():
            by_layers.setdefault(ranges(layers), []).append(kind)
        where = [f"{', '.join(names)} of layers {layers}" for layers, names in by_layers.items()]
        yield f"{pattern} in {'; '.join(where)}"


def _grouped(parts: Iterable[Part]) -> list[str]:
    kinds: dict[str, list[int]] = {}
    for part in parts:
        kinds.setdefault(part.kind, []).append(part.layer)
    return [f"{kind} {ranges(layers)}" for kind, layers in kinds.items()]


def _differences(tensors: Sequence[TensorReport]) -> Table:
    """The tensors that differ most, those without a figure first."""
    table = Table(box=None, pad_edge=False)
    for title in ("tensor", "‖Δw‖/‖w‖", "max |Δw|"):
        table.add_column(title, justify="left" if title == "tensor" else "right", no_wrap=True)
    ordered = sorted(tensors, key=lambda one: float("-inf") if one.relative is None else -one.relative)
    for one in ordered[:MOST_TENSORS]:
        figures = ("–", "–") if one.relative is None else (f"{one.relative:.3g}", f"{one.largest:.3g}")
        table.add_row(Text(flowing(one.name)), *figures)
    if len(tensors) > MOST_TENSORS:
        table.add_row(Text(f"and {len(tensors) - MOST_TENSORS} more", "dim"), "", "")
    return table


def _print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    for name, value in facts:
        console.print(Text.assemble((f"{name:>10}  ", "dim"), value), soft_wrap=True)
