"""Tables as files: CSV, JSON Lines and Parquet, each so that it is read back with its types and its odd numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from explorer.recordings.export.tidy_table import ColumnKind, ExportTable, Value
from probes.schema.as_json import json_to_print
from probes.schema.errors import BadInput


def to_csv(table: ExportTable) -> bytes:
    """Comma-separated, UTF-8, one header line. An empty field is a figure the step does not have.

    Numbers are written with all their digits; infinite and undefined ones as `inf`, `-inf` and `NaN`, the spellings
    by which polars and pandas both take the column for one of numbers.
    """
    texts = [_QuotedTexts() for _ in table.columns]
    parts = [",".join(_QuotedTexts()[column.name] for column in table.columns).encode()]
    for begin in range(0, len(table), _ROWS_AT_ONCE):
        fields = [
            _fields(column.kind, column.values[begin : begin + _ROWS_AT_ONCE], quoted)
            for column, quoted in zip(table.columns, texts, strict=True)
        ]
        parts.append("\n".join(map(",".join, zip(*fields, strict=True))).encode())
    return b"\n".join([*parts, b""])


_ROWS_AT_ONCE = 10_000
"""A column of so many values is written at once, which takes a tenth of the time of writing row by row."""


class _QuotedTexts(dict[str, str]):
    """Texts as fields of a CSV file. The same few tokens come again and again."""

    def __missing__(self, text: str) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow([text, ""])
        self[text] = out.getvalue().removesuffix(",\n")
        return self[text]


def _fields(kind: ColumnKind, values: Sequence[Value], quoted: _QuotedTexts) -> list[str]:
    if kind is ColumnKind.TEXT:
        return ["" if value is None else quoted[str(value)] for value in values]
    written = msgspec.json.encode(values).decode()[1:-1]
    fields = written.split(",")
    if "null" not in written:
        return fields
    # What is missing or not finite is null in JSON.
    return [_UNWRITTEN[str(value)] if field == "null" else field for field, value in zip(fields, values, strict=True)]


_UNWRITTEN = {"None": "", "inf": "inf", "-inf": "-inf", "nan": "NaN"}


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


def _large(values: Sequence[Value]) -> bool:
    """True of whole numbers, none below 0, that need all 64 bits, as a seed may."""
    numbers = [value for value in values if isinstance(value, int)]
    return max(numbers, default=0) >= 2**63 and min(numbers) >= 0
