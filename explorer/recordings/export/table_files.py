"""Tables as files: CSV, JSON Lines and Parquet, each so that it is read back with its types and its odd numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from explorer.recordings.export.tidy_table import ColumnKind, ExportTable, Value
from probes.schema.as_json import json_to_print
from probes.schema.errors import BadInput


def to_csv(table: ExportTable) -> bytes:
    """Comma-separated, UTF-8, one header line. An empty field is a figure the step does not have.

    Numbers are written with all their digits; infinite and undefined ones as `inf`, `-inf` and `NaN`, the spellings
    by which polars and pandas both take the column for one of numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows():
        writer.writerow([_field(value) for value in row])
    return out.getvalue().encode()


def to_jsonl(table: ExportTable) -> bytes:
    """One flat object a row. A value that is not finite is null and named in the row's `nonfinite` object."""
    names = [column.name for column in table.columns]
    lines = []
    for row in table.rows():
        plain: dict[str, Any] = dict(zip(names, row, strict=True))
        odd = {name: str(v) for name, v in plain.items() if isinstance(v, float) and not math.isfinite(v)}
        if odd:
            plain |= dict.fromkeys(odd)
            plain["nonfinite"] = odd
        lines.append(json_to_print(plain))
    return b"\n".join(lines) + b"\n"


def to_parquet(table: ExportTable) -> bytes:
    """Parquet, zstd-compressed; infinite and undefined figures as such. Raises `BadInput` if polars is missing."""
    try:
        import polars
    except ImportError as problem:
        raise BadInput(
            "Parquet", "Writing Parquet needs polars.", 'Install it: pip install "phier[tables]".'
        ) from problem
    kinds: dict[ColumnKind, type[polars.DataType]] = {
        ColumnKind.WHOLE: polars.Int64,
        ColumnKind.NUMBER: polars.Float64,
        ColumnKind.TEXT: polars.String,
        ColumnKind.TRUTH: polars.Boolean,
    }
    out = io.BytesIO()
    series = []
    for column in table.columns:
        try:
            kind = polars.UInt64 if column.kind is ColumnKind.WHOLE and _large(column.values) else kinds[column.kind]
            series.append(polars.Series(column.name, column.values, dtype=kind))
        except (TypeError, OverflowError) as problem:
            raise BadInput(
                "Parquet", f"{column.name} holds an integer over 64 bits, which Parquet does not support.", "Use csv."
            ) from problem
    polars.DataFrame(series).write_parquet(out, compression="zstd")
    return out.getvalue()


WRITERS: dict[str, Callable[[ExportTable], bytes]] = {"csv": to_csv, "jsonl": to_jsonl, "parquet": to_parquet}


def _field(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _large(values: Sequence[Value]) -> bool:
    """True of whole numbers, none below 0, that need all 64 bits, as a seed may."""
    numbers = [value for value in values if isinstance(value, int)]
    return max(numbers, default=0) >= 2**63 and min(numbers) >= 0
