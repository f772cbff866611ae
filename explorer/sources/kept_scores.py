"""What was scored of each prune setting: the latest settings in memory, and each in a results file of its own.

The files are in a folder beside the recordings. A file that can't be read or written never stops scoring: a notice says
so, and the results stay in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from probes.schema.as_json import json_of
from probes.schema.errors import PhierError
from probes.schema.events import DocumentsCompared, ItemScored, Noticed
from probes.schema.task_results import ItemPrompt, ItemResult, Similarities
from probes.system.user_folders import recordings_folder

if TYPE_CHECKING:
    from probes.pair import Pair
    from probes.schema.items import ItemSet
    from probes.tasks.results_file import KeptResults, ResultsFile, ResultsHeader

KEPT_SETTINGS = 12
"""Of how many settings the results are in memory; those of the setting that was judged longest ago go first."""
FOLDER = "results"
"""The folder of the results files, in that of the recordings."""


@dataclass(slots=True, eq=False)
class ScoredSet:
    """What was scored of one item set under one setting."""

    of: ItemSet
    items: dict[str, ItemScored] = field(default_factory=dict)
    similarities: Similarities | None = None

    def take(self, event: ItemScored | DocumentsCompared) -> None:
        if isinstance(event, ItemScored):
            self.items[event.result.item] = event
        else:
            self.similarities = event.found

    @property
    def found(self) -> list[ItemResult | Similarities]:
        """Everything, as a file keeps it."""
        results = [event.result for event in self.items.values()]
        return [*results, *([self.similarities] if self.similarities is not None else [])]


class SettingScores:
    """The scored items of some item sets under one setting."""

    def __init__(
        self, known: dict[str, ScoredSet], path: Path | None, file: ResultsFile | None, notice: Callable[[str], None]
    ) -> None:
        """`file` is the one at `path`, if results are added to it."""
        self.known = known
        """By the name of the item set."""
        self._path, self._file, self._notice = path, file, notice

    @property
    def kept_in(self) -> str:
        """The results file; "" if the results are in memory only."""
        return str(self._path) if self._path is not None else ""

    @property
    def done(self) -> frozenset[tuple[str, str]]:
        """Task and item of everything that was scored."""
        return frozenset((name, item) for name, one in self.known.items() for item in one.items)

    def take(self, event: ItemScored | DocumentsCompared) -> None:
        """Keeps what was scored, in memory and in the file."""
        found = event.result if isinstance(event, ItemScored) else event.found
        self.known[found.task].take(event)
        self.write(found)

    def write(self, found: ItemResult | Similarities) -> None:
        """Adds a line to the file. If that fails, the rest stays in memory."""
        if self._file is not None:
            try:
                self._file.add(found)
            except PhierError as problem:
                self._file = self._path = None
                self._notice(problem.message)


class KeptScores:
    """What was scored of the latest settings."""

    def __init__(self, tell: Callable[[Noticed], None]) -> None:
        self._tell = tell
        self._kept: dict[str, dict[str, ScoredSet]] = {}
        """By setting, then by the digest of the item set."""
        self._noticed = ""

    @contextmanager
    def opened(self, pair: Pair, item_sets: Sequence[ItemSet]) -> Iterator[SettingScores]:
        """What is known of these item sets under the pair's setting; what is taken meanwhile is added to its file."""
        from probes.tasks.results_file import results_header

        with ExitStack() as stack:
            header = results_header(pair)
            file = self._file(stack, header, item_sets)
            known = self._known(pair, item_sets)
            scores = SettingScores(known, file.path if file is not None else None, file, self._notice)
            if file is not None:
                before = set(_names(file.kept.results, file.kept.similarities))
                _recall(pair, known, file.kept)
                for one in known.values():
                    for found in one.found:
                        if not before.intersection(_names([found])):
                            scores.write(found)
            yield scores

    def recalled(self, pair: Pair, item_sets: Sequence[ItemSet]) -> SettingScores:
        """What is known of these item sets under the pair's setting. No file is made or changed."""
        from probes.tasks.results_file import read_results, results_header

        known, digests = self._known(pair, item_sets), {items.name: items.digest for items in item_sets}
        for path in _paths(results_header(pair)):
            if not path.is_file():
                break
            try:
                kept = read_results(path)
            except PhierError as problem:
                self._notice(problem.message)
                break
            if all(digests.get(items.name, items.digest) == items.digest for items in kept.item_sets):
                _recall(pair, known, kept)
                return SettingScores(known, path, None, self._notice)
        return SettingScores(known, None, None, self._notice)

    def _known(self, pair: Pair, item_sets: Sequence[ItemSet]) -> dict[str, ScoredSet]:
        sets = self._of_setting(pair)
        return {items.name: sets.setdefault(_key(items), ScoredSet(items)) for items in item_sets}

    def item_sets(self, pair: Pair) -> list[ItemSet]:
        """The item sets of which something is known under the pair's setting."""
        from probes.tasks.results_file import read_results, results_header

        found = {one.of.name: one.of for one in self._of_setting(pair).values() if one.items}
        files = [path for path in _paths(results_header(pair)) if path.is_file()]
        if not found and files:
            try:
                kept = read_results(max(files, key=lambda path: path.stat().st_mtime))
            except PhierError:
                return []  # `recalled` says why
            scored = {result.task for result in kept.results}
            found = {items.name: items for items in kept.item_sets if items.name in scored}
        return list(found.values())

    def _of_setting(self, pair: Pair) -> dict[str, ScoredSet]:
        setting = f"{pair.dense.info.name}\n{pair.pruned.info.name}\n{pair.made_by}"
        kept = self._kept[setting] = self._kept.pop(setting, {})
        while len(self._kept) > KEPT_SETTINGS:
            del self._kept[next(iter(self._kept))]
        return kept

    def _file(self, stack: ExitStack, header: ResultsHeader, item_sets: Sequence[ItemSet]) -> ResultsFile | None:
        """The first file of this setting that has no other items under the same names."""
        from probes.tasks.results_file import OtherItems, results_file

        for path in _paths(header):
            with ExitStack() as trial:
                try:
                    file = trial.enter_context(results_file(path, header))
                    file.take(item_sets)
                except OtherItems:
                    continue
                except PhierError as problem:
                    self._notice(problem.message)
                    return None
                stack.push(trial.pop_all())
                return file
        return None

    def _notice(self, why: str) -> None:
        """Says once why results are in memory only."""
        if why != self._noticed:
            self._noticed = why
            self._tell(Noticed("Results in memory only", f"{why} They are lost when the program ends."))


def prompt_of(item: str, pair: Pair, items: ItemSet) -> ItemPrompt:
    """The prompt that opens an item as a run."""
    from probes.tasks.prompts import item_prompt

    return item_prompt(pair.dense.tokenizer, items, item)


def _recall(pair: Pair, known: dict[str, ScoredSet], kept: KeptResults) -> None:
    """Takes what a file has of these item sets and memory has not."""
    for result in kept.results:
        if (one := known.get(result.task)) is not None and result.item not in one.items:
            one.take(ItemScored(result, prompt_of(result.item, pair, one.of)))
    for found in kept.similarities:
        if (one := known.get(found.task)) is not None and one.similarities is None:
            one.take(DocumentsCompared(found))


def _names(*many: Sequence[ItemResult | Similarities]) -> list[tuple[str, str]]:
    """Task and item of each result; "" for the similarities of a task."""
    return [(one.task, one.item if isinstance(one, ItemResult) else "") for found in many for one in found]


def _key(items: ItemSet) -> str:
    return f"{items.name} {items.digest}"


_MOST_FILES = 9
"""So many files has a setting: another one if items changed and kept their set's name."""


def _paths(header: ResultsHeader) -> Iterator[Path]:
    """The files of a setting, named by models and setting and by everything that the results depend on."""
    depends_on = {key: value for key, value in asdict(header).items() if key not in ("started", "notes")}
    digest = hashlib.sha256(json_of(depends_on)).hexdigest()[:8]
    words = (header.dense, header.setting or header.pruned)
    plain = (re.sub(r"[^\w.+-]+", "-", word.rsplit("/", 1)[-1], flags=re.ASCII).strip("-.")[:60] for word in words)
    stem = "_".join((*filter(None, plain), digest))
    for number in count(1):
        if number > _MOST_FILES:
            return
        yield recordings_folder() / FOLDER / f"{stem}{'' if number == 1 else f'_{number}'}.jsonl"
