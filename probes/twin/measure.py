"""Counts what was really removed from a twin."""

from __future__ import annotations

from collections.abc import Iterable

from probes.schema.header import Calibration, MatrixReport, PruneReport
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin, count_zeros


def measure_removed(
    twin: Twin,
    setting: str = "",
    *,
    targets: Iterable[str] | None = None,
    all_listed: bool = False,
    seconds: float = 0.0,
    calibration: Calibration | None = None,
    notes: Iterable[str] = (),
) -> PruneReport:
    """Reports the zeros in the weights of the target matrices (by default all that differ), and the dropped parts.

    With `all_listed` the report lists all matrices, not the targets alone.
    """
    names = set(twin.state.changes if targets is None else targets)
    matrices = tuple(
        _counted(twin, matrix)
        for matrix in twin.anatomy.matrices
        if matrix.name in names or (all_listed and not twin.is_offloaded(matrix.name))
    )
    counted = [matrix for matrix in matrices if matrix.name in names]
    return PruneReport(
        setting=setting,
        zeroed=sum(matrix.zeros for matrix in counted),
        targeted=sum(matrix.rows * matrix.columns for matrix in counted),
        dropped=tuple(map(str, sorted(twin.state.dropped))),
        dropped_parameters=twin.dropped_parameters,
        mask_hash=twin.state.hash,
        seconds=seconds,
        calibration=calibration,
        matrices=matrices,
        notes=tuple(notes),
        zeroed_before=sum(twin.dense_zeros(matrix.name) for matrix in counted),
        in_layers=_weights_in_layers(twin) if twin.anatomy.unreachable else 0,
    )


def _weights_in_layers(twin: Twin) -> int:
    reached = (f"{matrix.name}.weight" for matrix in twin.anatomy.matrices)
    return sum(twin.dense.get_parameter(name).numel() for name in (*reached, *twin.anatomy.unreachable))


def _counted(twin: Twin, matrix: Matrix) -> MatrixReport:
    outputs, inputs = twin.shape(matrix.name)
    changed = matrix.name in twin.state.changes
    zeros = count_zeros(twin.weight(matrix.name)) if changed else twin.dense_zeros(matrix.name)
    return MatrixReport(matrix.name, matrix.layer, matrix.sublayer, outputs, inputs, zeros)
