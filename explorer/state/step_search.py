"""The search in a run: at which steps it finds something, and the next of them. New steps are searched as they come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence

from explorer.state.found_places import FoundPlaces
from explorer.state.step_query import MARKED, Wanted, WantedEvent, WantedText, parse_query
from explorer.words.model_texts import written_token
from probes.schema.record import StepRecord
from probes.schema.settings import Follow

SIDES = ("dense", "pruned")


class StepSearch:
    """One search. It is kept up with the path that is shown; another path is searched from its start."""

    def __init__(self, text: str) -> None:
        """Raises `BadInput` if this can't be searched."""
        self.text = text
        self.wanted = parse_query(text)
        self._key: object = self
        """The key of the steps that were searched; none is equal to this one."""
        self._found = FoundPlaces()
        self._looked = 0
        self._scans: list[list[_TextScan]] = []

    def steps(
        self, path: Sequence[StepRecord], follow: Follow, key: object, is_marked: Callable[[int], bool]
    ) -> Sequence[int]:
        """The steps at which it is found, in order. `key` is another one if steps that were searched have changed."""
        if key != self._key:
            self._key, self._found, self._looked = key, FoundPlaces(), 0
            texts = [one for one in self.wanted if isinstance(one, WantedText)]
            self._scans = [[_TextScan(one, side) for side in SIDES] for one in texts]
        for record in path[self._looked :]:
            begun = [{scan.add(record, follow) for scan in scans} for scans in self._scans]
            steps = {step for hits in begun for found in hits for step in found} if begun else {record.step}
            for step in sorted(steps):
                if self._meets(path[step - 1], is_marked):
                    self._insert(step)
        self._looked = len(path)
        return self._found.places

    def _meets(self, record: StepRecord, is_marked: Callable[[int], bool]) -> bool:
        return all(any(record.step in scan.found for scan in scans) for scans in self._scans) and all(
            _met(one, record, is_marked) for one in self.wanted if not isinstance(one, WantedText)
        )

    def _insert(self, step: int) -> None:
        steps = self._found.places
        place = bisect_left(steps, step)
        if place == len(steps) or steps[place] != step:
            insort(steps, step)

    def next_from(self, cursor: int, *, forward: bool, here: bool = False) -> int | None:
        """The next step at which it is found, as `FoundPlaces.next_from`."""
        return self._found.next_from(cursor, forward=forward, here=here)

    def sentence(self, cursor: int) -> str:
        """How often it is found, and which of them the cursor is at."""
        return self._found.sentence(self.text, cursor, "step")


def _met(wanted: Wanted, record: StepRecord, is_marked: Callable[[int], bool]) -> bool:
    if isinstance(wanted, WantedEvent) and wanted.name == MARKED:
        return is_marked(record.step)
    return not isinstance(wanted, WantedText) and wanted.at(record)


class _TextScan:
    """A text in one panel, searched as the panel's text grows."""

    def __init__(self, wanted: WantedText, side: str) -> None:
        self._wanted = wanted.text if wanted.exact else wanted.text.lower()
        self._exact, self._side = wanted.exact, side
        self._tail = ""
        """The end of the text, in which a hit may have begun."""
        self._begins: list[tuple[int, int]] = []
        """The place in the text at which each step in the tail begins."""
        self._length = 0
        self.found: set[int] = set()
        """The steps at whose token a hit begins."""

    def add(self, record: StepRecord, follow: Follow) -> frozenset[int]:
        """Takes the next step. Returns the steps at which a hit begins that ends in it."""
        new = written_token(record, self._side, follow).text
        if not self._exact:
            new = new.lower()
        if not new:
            return frozenset()
        self._begins.append((self._length, record.step))
        text = self._tail + new
        start = self._length - len(self._tail)
        self._length += len(new)
        hits = set()
        place = text.find(self._wanted, max(0, len(self._tail) - len(self._wanted) + 1))
        while place >= 0:
            hits.add(self._begins[bisect_right(self._begins, (start + place, record.step)) - 1][1])
            place = text.find(self._wanted, place + 1)
        self._tail = text[len(text) - len(self._wanted) + 1 :] if len(self._wanted) > 1 else ""
        kept = self._length - len(self._tail)
        first = max(0, bisect_right(self._begins, (kept, record.step)) - 1)
        del self._begins[:first]
        self.found |= hits
        return frozenset(hits)
