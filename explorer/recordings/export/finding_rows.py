"""What explains a step as rows of a tidy table: one row a sublayer, an exchange, a part of a margin, a position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum

from probes.schema.findings import Finding
from probes.schema.recorded_table import Cell, RecordedTable

Row = Mapping[str, Cell]


def finding_rows(found: Finding) -> Sequence[Row]:
    """The rows of a finding, each with its figures under dotted names."""
    if isinstance(found, RecordedTable):
        return found.rows
    lists = [getattr(found, field.name) for field in fields(found) if _is_list(getattr(found, field.name))]
    return [dict(_flat(one, "")) for listed in lists for one in listed] or [dict(_flat(found, ""))]


def _is_list(value: object) -> bool:
    return isinstance(value, tuple) and any(is_dataclass(one) for one in value)


def _flat(node: object, name: str) -> Iterator[tuple[str, Cell]]:
    if is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            value = getattr(node, field.name)
            if not _is_list(value):
                yield from _flat(value, f"{name}.{field.name}" if name else field.name)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}")
    elif isinstance(node, StrEnum):
        yield name, node.value
    elif node is None or isinstance(node, (str, int, float, bool)):
        yield name, node
