"""Tables for export: typed columns of one length, and the columns that tell where a row is from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from probes.schema.header import RunHeader
from probes.schema.record import StepRecord

Value = str | int | float | bool | None


class ColumnKind(StrEnum):
    """The type of a column's values, which may be missing."""

    WHOLE = "int"
    NUMBER = "float"
    TEXT = "str"
    TRUTH = "bool"


@dataclass(slots=True)
class TableColumn:
    name: str
    """Dotted as in the record: "p.kl", "shared.h.cos"."""
    kind: ColumnKind
    values: list[Value]


@dataclass(slots=True)
class ExportTable:
    """Columns of one length."""

    name: str
    """"steps", "tokens", "layers", or what an explanation is called; a part of a file's name."""
    columns: list[TableColumn]

    def __len__(self) -> int:
        return len(self.columns[0].values)

    def rows(self) -> Iterator[tuple[Value, ...]]:
        return zip(*(column.values for column in self.columns), strict=True)


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """One step with its recording, run and branch."""

    recording: str
    header: RunHeader
    run: int
    branch: int
    seconds: float | None
    record: StepRecord


def place_columns(found: Iterator[tuple[str, str, int, int]]) -> list[TableColumn]:
    """The columns of the recording, the setting, the run and the branch of each row."""
    columns: list[list[Value]] = [[], [], [], []]
    for place in found:
        values: tuple[Value, ...] = place
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return [TableColumn(name, kind, values) for (name, kind), values in zip(_PLACE, columns, strict=True)]


def columns_of(rows: Sequence[Mapping[str, Value]], *, taken: Collection[str] = ()) -> list[TableColumn]:
    """A column for each name that any row has; of a `taken` name, the column is `row.NAME`."""
    columns = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        kind = _kind_of(values)
        title = f"row.{name}" if name in taken else name
        columns.append(TableColumn(title, kind, [_as(kind, value) for value in values]))
    return columns


def _kind_of(values: Sequence[Value]) -> ColumnKind:
    """The narrowest kind that holds all of them."""
    types = {type(value) for value in values if value is not None}
    if types <= {bool}:
        return ColumnKind.TRUTH
    if types <= {int}:
        return ColumnKind.WHOLE
    return ColumnKind.NUMBER if types <= {int, float} else ColumnKind.TEXT


def _as(kind: ColumnKind, value: Value) -> Value:
    if value is None:
        return None
    if kind is ColumnKind.NUMBER:
        return float(value)
    return str(value) if kind is ColumnKind.TEXT else value


_PLACE = (
    ("recording", ColumnKind.TEXT),
    ("setting", ColumnKind.TEXT),
    ("run", ColumnKind.WHOLE),
    ("branch", ColumnKind.WHOLE),
)
