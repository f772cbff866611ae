"""The watched groups of a recording as a tidy table: one row a step, context and group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from explorer.recordings.export.tidy_table import (
    ColumnKind,
    ExportTable,
    MeasuredStep,
    TableColumn,
    Value,
    place_columns,
)
from probes.schema.record import GroupFigures, StepRecord, Watched

_Get = Callable[[Watched, GroupFigures], Value]
_COLUMNS: tuple[tuple[str, ColumnKind, _Get], ...] = (
    ("label", ColumnKind.TEXT, lambda _, group: group.label),
    ("tokens", ColumnKind.TEXT, lambda _, group: " ".join(map(str, group.tokens))),
    ("p", ColumnKind.NUMBER, lambda _, group: group.p),
    ("q", ColumnKind.NUMBER, lambda _, group: group.q),
    ("share_dense", ColumnKind.NUMBER, lambda _, group: group.share_dense),
    ("share_pruned", ColumnKind.NUMBER, lambda _, group: group.share_pruned),
    ("rank_dense", ColumnKind.WHOLE, lambda _, group: group.rank_dense),
    ("rank_pruned", ColumnKind.WHOLE, lambda _, group: group.rank_pruned),
    ("mass_dense", ColumnKind.NUMBER, lambda watched, _: watched.mass_dense),
    ("mass_pruned", ColumnKind.NUMBER, lambda watched, _: watched.mass_pruned),
    ("kl", ColumnKind.NUMBER, lambda watched, _: watched.kl),
    ("kl_reverse", ColumnKind.NUMBER, lambda watched, _: watched.kl_reverse),
    ("cos", ColumnKind.NUMBER, lambda watched, _: watched.cos),
)
"""From the mass on, the figures are of all groups of the step together."""


def watched_table(steps: Sequence[MeasuredStep]) -> ExportTable:
    """The groups of every step; without a row if nothing was watched."""
    rows = [
        (one, context, watched, group)
        for one in steps
        for context, watched in _contexts(one.record)
        for group in watched.groups
    ]
    columns = place_columns((one.recording, one.header.title, one.run, one.branch) for one, *_ in rows)
    columns.append(TableColumn("step", ColumnKind.WHOLE, [one.record.step for one, *_ in rows]))
    columns.append(TableColumn("context", ColumnKind.TEXT, [context for _, context, *_ in rows]))
    columns += [
        TableColumn(name, kind, [get(watched, group) for *_, watched, group in rows]) for name, kind, get in _COLUMNS
    ]
    return ExportTable("watched", columns)


def _contexts(record: StepRecord) -> Iterator[tuple[str, Watched]]:
    """The step's watched groups by context: the shared one, and each model's own if it differs."""
    if record.own is not None and record.own.watched is not None:
        yield ("shared" if record.same_context else "own"), record.own.watched
    if record.shared is not None and not record.same_context and record.shared.watched is not None:
        yield "shared", record.shared.watched
