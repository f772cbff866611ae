"""A table of figures about a step whose kind has no type: recordings of earlier versions hold them. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass

Cell = str | int | float | bool | None
"""One value of a row."""


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """Rows about a step, shown and exported as they are."""

    what: str
    """The kind of rows: "layers" (one row a layer, with a `layer` column), "heal", or another name."""
    rows: tuple[dict[str, Cell], ...]
