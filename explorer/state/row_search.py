"""The search in a list: its rows that have a text, a figure beyond a bound, or that something is true of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from explorer.state.found_places import FoundPlaces
from explorer.state.step_query import WantedFigure, WantedText, parse_conditions
from probes.schema.errors import BadInput
from probes.schema.nearest import did_you_mean

Examples = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SearchedRow:
    """What a search sees of a row."""

    text: str
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Values by name; None where the row has none."""
    events: frozenset[str] = frozenset()
    """What is true of the row: "lost"."""


@dataclass(frozen=True, slots=True)
class Searchable:
    """What the rows of a list can be searched for."""

    one: str
    """What a row is: "item"."""
    figures: tuple[str, ...]
    events: tuple[str, ...]
    examples: Examples

    @property
    def grammar(self) -> str:
        """An example of each kind, for help texts."""
        return ", ".join(("a text", *(text for text, _ in self.examples[1:])))


class RowSearch:
    """One search in a list."""

    def __init__(self, text: str, searchable: Searchable) -> None:
        """Raises `BadInput` if this can't be searched."""
        self.text, self._searchable = text, searchable
        self._wanted = parse_conditions(text, searchable.events, self._figure, searchable.grammar)
        self.found = FoundPlaces()
        self._key: object = self

    def look(self, key: object, rows: Callable[[], Sequence[SearchedRow]]) -> FoundPlaces:
        """The rows that have all that is wanted, counted from 1. `key` is another one if the rows have changed."""
        if key != self._key:
            self._key = key
            self.found.places = [place for place, row in enumerate(rows(), 1) if self._meets(row)]
        return self.found

    def _meets(self, row: SearchedRow) -> bool:
        for one in self._wanted:
            if isinstance(one, WantedText):
                if one.text not in (row.text if one.exact else row.text.lower()):
                    return False
            elif isinstance(one, WantedFigure):
                if not one.holds(row.figures.get(one.name)):
                    return False
            elif one.name not in row.events:
                return False
        return True

    def _figure(self, name: str) -> str:
        if name.lower() in self._searchable.figures:
            return name.lower()
        meant = did_you_mean(name.lower(), self._searchable.figures)
        raise BadInput(
            "Find",
            f"No {self._searchable.one} has a figure called {name}.",
            f'{meant}Quotation marks search for it as a text: "{name}".',
        )


@dataclass(slots=True)
class KeptSearches:
    """The searches of several lists, by their names, while other screens are shown."""

    open: dict[str, RowSearch] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    """What was searched for, the latest first."""

    def begin(self, name: str, search: RowSearch) -> None:
        self.open[name] = search
        self.texts = (search.text, *(one for one in self.texts if one != search.text))[:8]
