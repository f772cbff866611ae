"""A recording as tidy tables: one row a step, and one a step and token, a step and watched group, a step and layer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, get_args, get_type_hints

from explorer.recordings.export.finding_rows import finding_tables
from explorer.recordings.export.several import names_of
from explorer.recordings.export.tidy_table import (
    ColumnKind,
    ExportTable,
    MeasuredStep,
    TableColumn,
    Value,
    columns_of,
    place_columns,
)
from explorer.recordings.export.watched_rows import watched_table
from explorer.sources.chosen import Chosen
from probes.recording import RecordedRun, Recording
from probes.recording.runs import latest_findings
from probes.schema.events import Explained
from probes.schema.header import RunHeader
from probes.schema.record import (
    Choice,
    HiddenFigures,
    Invalid,
    LogitFigures,
    ProbabilityFigures,
    StepRecord,
    Sums,
    Taken,
    TopToken,
)
from probes.schema.recorded_table import Cell


def tables(recordings: Sequence[Recording], *, every: bool = False) -> list[ExportTable]:
    """The tables of all recordings together, those without a row left out.

    By default they hold the path that was shown last in each recording's run; with `every`, each step that was
    measured in any run on any branch, once, under the branch it was measured on.
    """
    names = names_of([Chosen(recording.path, recording.chosen) for recording in recordings])
    steps = [
        step
        for name, recording in zip(names, recordings, strict=True)
        for step in measured_steps(name, recording, every)
    ]
    found = [_steps(steps), _tokens(steps), watched_table(steps)]
    explanations = [
        (name, run, explained)
        for name, recording in zip(names, recordings, strict=True)
        for run in _runs(recording, every)
        for explained in (latest_findings(run.explanations) if every else run.explained_path())
    ]
    rows: dict[str, list[_ExplainedRow]] = {}
    for name, run, explained in explanations:
        for what, listed in finding_tables(explained.found, explained.level).items():
            rows.setdefault(what, []).extend((name, run, explained, row) for row in listed)
    found += [_explained(_file_name(what, place), what, listed) for place, (what, listed) in enumerate(rows.items(), 1)]
    return [table for table in found if len(table)]


def measured_steps(name: str, recording: Recording, every: bool) -> Iterator[MeasuredStep]:
    """The steps of a recording of that name with the branch each was measured on."""
    for run in _runs(recording, every):
        for branch, record in _every_step(run) if every else _shown_path(run):
            seconds = run.seconds.get((branch, record.step))
            yield MeasuredStep(name, run.header, run.number, branch, seconds, record)


def _runs(recording: Recording, every: bool) -> Sequence[RecordedRun]:
    """The chosen run; with `every`, all runs if none is chosen."""
    return recording.runs if every and recording.chosen is None else [recording.run]


def _every_step(run: RecordedRun) -> Iterator[tuple[int, StepRecord]]:
    for branch in run.branches:
        for record in run.branches.own(branch.id):
            yield branch.id, record


def _shown_path(run: RecordedRun) -> Iterator[tuple[int, StepRecord]]:
    for record in run.path:
        yield run.branches.owner(record.step), record


# One row a step.

_Get = Callable[[StepRecord], Any]


def _kinds(shape: type) -> dict[str, ColumnKind]:
    """The type of each field of a record, without its bounds."""
    return {name: ColumnKind((get_args(hint) or (hint,))[0].__name__) for name, hint in get_type_hints(shape).items()}


def _of_own(group: str) -> _Get:
    field = attrgetter(group)
    return lambda record: None if record.own is None else field(record.own)


def _of_shared(group: str) -> _Get:
    """Reads the comparison on the shared context, only if it differs from the one on own contexts."""
    field = attrgetter(group)
    return lambda record: None if record.same_context or record.shared is None else field(record.shared)


def _shared_kl(record: StepRecord) -> float | None:
    """KL on the shared context at every step, also after the texts have diverged."""
    return record.shared.p.kl if record.shared else None


_STEP: tuple[tuple[str, ColumnKind | type, _Get], ...] = (
    ("same_context", ColumnKind.TRUTH, attrgetter("same_context")),
    ("agree", ColumnKind.TRUTH, attrgetter("agree")),
    ("dense", Choice, attrgetter("dense")),
    ("pruned", Choice, attrgetter("pruned")),
    ("taken", Taken, attrgetter("taken")),
    ("taken_pruned", Taken, attrgetter("taken_pruned")),
    ("h", HiddenFigures, _of_own("h")),
    ("z", LogitFigures, _of_own("z")),
    ("p", ProbabilityFigures, _of_own("p")),
    ("shared.h", HiddenFigures, _of_shared("h")),
    ("shared.z", LogitFigures, _of_shared("z")),
    ("shared.p", ProbabilityFigures, _of_shared("p")),
    ("shared.kl", ColumnKind.NUMBER, _shared_kl),
    ("sum", Sums, attrgetter("sum")),
    ("invalid", Invalid, attrgetter("invalid")),
)
"""A value of the step, or a part of it that may be missing, each field of which is a column."""
_RUN: list[tuple[str, ColumnKind, Callable[[RunHeader], Value]]] = [
    ("dense_model", ColumnKind.TEXT, lambda header: header.dense.name),
    ("follow", ColumnKind.TEXT, lambda header: header.settings.follow.value),
    ("temperature", ColumnKind.NUMBER, lambda header: float(header.settings.sampling.temperature)),
    ("seed", ColumnKind.WHOLE, lambda header: header.settings.sampling.seed),
    ("analysis_t", ColumnKind.NUMBER, lambda header: float(header.settings.analysis_t)),
    ("prompt", ColumnKind.TEXT, lambda header: _digest(header.prompt_text)),
]
"""The columns that tell one run's steps from another's. `dense` would be the name of a group of columns."""


def _digest(prompt: str) -> str:
    """Enough of the hash of a prompt as the models read it to tell it from others; no reader takes it for a number."""
    return f"sha256:{hashlib.sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _steps(steps: Sequence[MeasuredStep]) -> ExportTable:
    columns = place_columns((one.recording, one.header.title, one.run, one.branch) for one in steps)
    columns.append(TableColumn("step", ColumnKind.WHOLE, [one.record.step for one in steps]))
    columns.append(TableColumn("seconds", ColumnKind.NUMBER, [one.seconds for one in steps]))
    headers = {id(one.header): one.header for one in steps}
    for name, kind, of_run in _RUN:
        known = {key: of_run(header) for key, header in headers.items()}
        columns.append(TableColumn(name, kind, [known[id(one.header)] for one in steps]))
    for name, shape, of_step in _STEP:
        columns += _step_columns(name, shape, [of_step(one.record) for one in steps])
    return ExportTable("steps", columns)


def _step_columns(name: str, shape: ColumnKind | type, values: list[Any]) -> Iterator[TableColumn]:
    """The column of these values, or one of each field of these parts."""
    if isinstance(shape, ColumnKind):
        yield TableColumn(name, shape, values)
        return
    for field, kind in _kinds(shape).items():
        get = attrgetter(field)
        yield TableColumn(f"{name}.{field}", kind, [None if part is None else get(part) for part in values])


# One row a step and token of its table.


def _tokens(steps: Sequence[MeasuredStep]) -> ExportTable:
    found = [(one, context, top) for one in steps for context, top in _tops(one.record)]
    columns = place_columns((one.recording, one.header.title, one.run, one.branch) for one, *_ in found)
    columns.append(TableColumn("step", ColumnKind.WHOLE, [one.record.step for one, *_ in found]))
    columns.append(TableColumn("context", ColumnKind.TEXT, [context for _, context, _ in found]))
    sizes = [len(top) for *_, top in found]
    for column in columns:
        column.values = list(chain.from_iterable(map(repeat, column.values, sizes)))
    columns.append(TableColumn("place", ColumnKind.WHOLE, [place for size in sizes for place in range(1, size + 1)]))
    tokens = [token for *_, top in found for token in top]
    columns += [TableColumn(name, kind, list(map(attrgetter(name), tokens))) for name, kind in _kinds(TopToken).items()]
    return ExportTable("tokens", columns)


def _tops(record: StepRecord) -> Iterator[tuple[str, Sequence[TopToken]]]:
    """The step's tables by context: the shared one, and each model's own if it differs."""
    if record.own is not None:
        yield ("shared" if record.same_context else "own"), record.own.top
    if record.shared is not None and not record.same_context:
        yield "shared", record.shared.top


# One row a step and layer, or whatever an explanation's rows are of.


def _file_name(what: str, place: int) -> str:
    """The name of a kind of rows if it can be part of a file's name and no other table has it; else a number."""
    return what if _PLAIN.fullmatch(what) and what not in ("steps", "tokens", "watched") else f"explained-{place}"


_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,30}")


_ExplainedRow = tuple[str, RecordedRun, Explained, Mapping[str, Cell]]


def _explained(table: str, what: str, rows: Sequence[_ExplainedRow]) -> ExportTable:
    columns = place_columns((name, run.header.title, run.number, explained.branch) for name, run, explained, _ in rows)
    columns.append(TableColumn("step", ColumnKind.WHOLE, [explained.step or None for _, _, explained, _ in rows]))
    if any(explained.through is not None for _, _, explained, _ in rows):
        columns.append(TableColumn("through", ColumnKind.WHOLE, [explained.through for _, _, explained, _ in rows]))
    if what != table:
        columns.append(TableColumn("what", ColumnKind.TEXT, [what for _ in rows]))
    columns += columns_of([row for *_, row in rows], taken={column.name for column in columns})
    return ExportTable(table, columns)
