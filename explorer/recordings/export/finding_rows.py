"""What explains a step as rows of tidy tables: one row a sublayer, an exchange, a part of a margin, a position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum

from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding, kind_of
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.noise_floor import NoiseFloor
from probes.schema.part_ranking import Ranking
from probes.schema.quadrants import Quadrants
from probes.schema.recorded_table import Cell, RecordedTable
from probes.schema.repair import Repair
from probes.schema.split_anatomy import SplitAnatomy

Row = Mapping[str, Cell]


def finding_tables(found: Finding, level: str) -> dict[str, list[Row]]:
    """The rows of a finding by the name of their table. Figures have dotted names, as those of a step have."""
    match found:
        case RecordedTable():
            return {found.what: list(found.rows)}
        case Layers():
            rows = _rows(found.rows)
            return {"layers": [{key: cell for key, cell in row.items() if key != "same_input"} for row in rows]}
        case Swaps():
            at: Row = {"level": level}
            exchanges = {"heal": found.heal, "damage": found.damage}
            lists: dict[str, list[Row]] = {
                name: [{**at, **flat_row(one)} for one in swaps] for name, swaps in exchanges.items()
            }
            return {"swaps": [{**at, **flat_row(found)}], **lists}
        case Quadrants():
            return {"quadrants": [flat_row(found)], "positions": _rows(found.positions)}
        case SplitAnatomy():
            return {"split": [flat_row(found)], "split_parts": _rows(found.parts)}
        case ForkVerdict():
            bounds = {"agree_recovers": found.agree_recovers, "agree_collapses": found.agree_collapses}
            directions = ("dense_into_pruned", "pruned_into_dense")
            return {"fork": [{"forced": one, **flat_row(getattr(found, one), "run"), **bounds} for one in directions]}
        case NoiseFloor():
            shared: Row = {"steps": found.steps, "own_dtype": found.own_dtype}
            largest = [(row.cause, figure, value) for row in found.rows for figure, value in row.largest.items()]
            return {"noise_floor": [{"cause": c, "figure": f, "largest": v, **shared} for c, f, v in largest]}
        case Repair():
            given: list[Row] = [{"level": found.level, **flat_row(one)} for one in found.given_back]
            return {"repair": [flat_row(found)], "given_back": given}
        case Ranking():
            return {kind_of(found): _rows(found.parts)}


def _rows(listed: Iterable[object]) -> list[Row]:
    return [flat_row(one) for one in listed]


def flat_row(node: object, name: str = "") -> dict[str, Cell]:
    """All figures of a value under dotted names, those of its lists left out."""
    return dict(_flat(node, name))


def _flat(node: object, name: str) -> Iterator[tuple[str, Cell]]:
    if is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            yield from _flat(getattr(node, field.name), f"{name}.{field.name}" if name else field.name)
    elif isinstance(node, StrEnum):
        yield name, node.value
    elif node is None or isinstance(node, (str, int, float, bool)):
        yield name, node
